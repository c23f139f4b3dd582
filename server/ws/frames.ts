import * as z from "zod";
import { MAX_FRAME_BYTES } from "../../core/api.ts";
import type { Problem } from "../../core/errors.ts";
import type { BlobStore } from "../../core/store.ts";

export const OPS = ["auth", "create", "step", "finish", "attach", "get", "cancel", "subscribe", "ping"] as const;

/** The head of a client's frame; the rest is the body of the op. */
export const ClientFrame = z.looseObject({ id: z.union([z.string().max(128), z.number()]), op: z.enum(OPS) });
export type ClientFrame = z.infer<typeof ClientFrame>;

export type FrameId = ClientFrame["id"];

export type ServerFrame =
  | { readonly id: FrameId; readonly ok: true; readonly result: object }
  | { readonly id: FrameId | null; readonly ok: false; readonly problem: Problem }
  | {
      readonly event: "progress" | "state" | "observation" | "done";
      readonly episode_id: string;
      readonly cursor: number;
      readonly [more: string]: unknown;
    };

/** The frame's text. One that is too long for common clients has its largest values in the store, by reference. */
export async function frameText(store: BlobStore, frame: ServerFrame): Promise<string> {
  const text = JSON.stringify(frame);
  if (Buffer.byteLength(text) <= MAX_FRAME_BYTES) return text;
  if ("result" in frame) return JSON.stringify({ ...frame, result: await shrink(store, Object(frame.result)) });
  return JSON.stringify(await shrink(store, frame));
}

/** Replaces members, the largest first, until the rest fits. */
async function shrink(store: BlobStore, value: object): Promise<object> {
  const sized = Object.entries(value).map(([key, member]) => {
    const text = JSON.stringify(member ?? null);
    return { key, text, bytes: Buffer.byteLength(text) };
  });
  let total = sized.reduce((sum, { bytes }) => sum + bytes, 0);
  const small: Record<string, unknown> = { ...value };
  for (const { key, text, bytes } of sized.toSorted((a, b) => b.bytes - a.bytes)) {
    if (total <= MAX_FRAME_BYTES / 2) break;
    const digest = await store.putBlob(Buffer.from(text));
    small[key] = { ref: `/v1/blobs/${digest}`, bytes };
    total -= bytes;
  }
  return small;
}
