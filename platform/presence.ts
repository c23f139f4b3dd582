import { Presence } from "../core/mail.ts";
import type { Redis } from "./redis.ts";

/** What processes say of themselves: a key per process that expires, and a set of ids per kind to find them by. */
const EVERY_MS = 1_000;
const TTL_MS = 5_000;

const listKey = (kind: Presence["kind"]): string => `presence:${kind}s`;
const key = (id: string): string => `presence:${id}`;
/** Longer than anybody waits for a silent process. */
const DEAD_MS = 60_000;
const deadKey = (id: string): string => `presence:dead:${id}`;

export interface Announcement {
  /** Writes at once what `describe` says now. */
  refresh(): Promise<void>;
  /** Takes the presence back. */
  close(): Promise<void>;
}

/** Says every second that this process lives. It is forgotten 5 s after it stopped saying so. */
export function announce({ redis, describe }: { redis: Redis; describe: () => Presence }): Announcement {
  let last: Presence | null = null;
  const say = async () => {
    last = describe();
    await redis
      .pipeline()
      .set(key(last.id), JSON.stringify(last), "PX", TTL_MS)
      .sadd(listKey(last.kind), last.id)
      .exec();
  };
  // A beat that fails is followed by the next one; who is silent for long is not there.
  const beat = () => void say().catch(() => undefined);
  beat();
  const timer = setInterval(beat, EVERY_MS);
  return {
    refresh: say,
    close: async () => {
      clearInterval(timer);
      if (last !== null) await forgetPresence(redis, last.id);
    },
  };
}

/** The live processes of a kind, oldest first. */
export async function presences(redis: Redis, kind: Presence["kind"]): Promise<Presence[]> {
  const ids = await redis.smembers(listKey(kind));
  if (ids.length === 0) return [];
  const dead = await knownDead(redis, ids); // a last word may come after its speaker's death
  const said = await redis.mget(ids.map(key));
  const values = said.map((value, i) => (dead.includes(ids[i] ?? "") ? null : value));
  const gone = ids.filter((_, i) => values[i] == null);
  if (gone.length > 0) await redis.srem(listKey(kind), gone);
  return values
    .flatMap((value) => {
      const parsed = value == null ? null : Presence.safeParse(JSON.parse(value));
      return parsed?.success ? [parsed.data] : [];
    })
    .sort((a, b) => a.started_at - b.started_at);
}

/** For a supervisor that saw the process die: nobody waits for it to expire. */
export async function forgetPresence(redis: Redis, id: string): Promise<void> {
  await redis.set(deadKey(id), "1", "PX", DEAD_MS);
  await Promise.all([forget(redis, "server", [id]), forget(redis, "worker", [id])]);
}

/** Those of `ids` that a supervisor saw die, or that ended by themselves; silence alone is not death. */
export async function knownDead(redis: Redis, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const values = await redis.mget(ids.map(deadKey));
  return ids.filter((_, i) => values[i] != null);
}

async function forget(redis: Redis, kind: Presence["kind"], ids: string[]): Promise<void> {
  await redis.pipeline().del(ids.map(key)).srem(listKey(kind), ids).exec();
}
