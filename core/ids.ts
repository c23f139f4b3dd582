import { createHash, createHmac, randomBytes } from "node:crypto";
import * as z from "zod";

/** Ids of things that live in one installation. Somebody else's id is a conflict, never a silent join. */
const idOf = <P extends string>(prefix: P) =>
  z.string().regex(new RegExp(`^${prefix}_[A-Za-z0-9._-]{1,64}$`), {
    message: `must look like ${prefix}_ followed by 1 to 64 of A-Z a-z 0-9 . _ -`,
  });

export const EpisodeId = idOf("ep").brand<"EpisodeId">();
export type EpisodeId = z.infer<typeof EpisodeId>;
export const GroupId = idOf("grp").brand<"GroupId">();
export type GroupId = z.infer<typeof GroupId>;
export const JobId = idOf("job").brand<"JobId">();
export type JobId = z.infer<typeof JobId>;

/** `source/name`, the name of a task in the catalog. */
export const TaskId = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}\/[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, {
  message: "must look like source/name",
});
export type TaskId = z.infer<typeof TaskId>;

/** sha256 in hex, prefixed: the name of a blob, a task version, a profile. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
export type Digest = z.infer<typeof Digest>;

/** A run is a free label of the caller, at most 128 bytes. */
export const RunLabel = z
  .string()
  .min(1)
  .refine((s) => Buffer.byteLength(s) <= 128, "at most 128 bytes");

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Sortable random id: 10 characters of time, 16 of randomness (the layout of a ULID). */
function sortableId(now: number): string {
  let time = "";
  for (let rest = now, i = 0; i < 10; i++) {
    time = alphabet.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  let tail = "";
  for (const byte of randomBytes(16)) tail += alphabet.charAt(byte % 32);
  return time + tail;
}

export const newEpisodeId = (now = Date.now()): EpisodeId => EpisodeId.parse(`ep_${sortableId(now)}`);
export const newJobId = (now = Date.now()): JobId => JobId.parse(`job_${sortableId(now)}`);
/** Fresh per boot: the id of a server or worker process, part of its mailbox's name. */
export const newProcessId = (kind: "server" | "worker", now = Date.now()): string => `${kind}_${sortableId(now)}`;

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

/** JSON with sorted keys and no blanks: equal values have equal text. Undefined members are dropped. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** First 53 bits of HMAC-SHA256 over the canonical key: a seed that any JSON parser keeps exact (runtime.md §9). */
export function deriveSeed(secret: string, key: unknown): number {
  const mac = createHmac("sha256", secret).update(canonicalJson(key)).digest();
  return Number(mac.readBigUInt64BE(0) >> 11n);
}
