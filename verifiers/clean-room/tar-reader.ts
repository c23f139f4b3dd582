import { GymError } from "../../core/errors.ts";

/**
 * Reads the canonical tar of a submission as data.
 * Covers: only files, folders and symbolic links come out; every size and checksum is checked; entries and bytes are
 * capped. Does not cover: whether a path may be applied (path-policy.ts).
 */
export type TarItem =
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string };

export interface TarContent {
  readonly items: readonly TarItem[];
  /** Entries that may not travel: other types, names that are not UTF-8. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

const BLOCK = 512;
/** More than any sandbox's inode quota. */
const MAX_ENTRIES = 100_000;
const MAX_BYTES = 512 * 1024 * 1024;
const MAX_PAX_BYTES = 64 * 1024;

/** The archive is made by our exporter: one that breaks the format is a GymError, for no attempt could have done it. */
export function readTar(tar: Uint8Array): TarContent {
  if (tar.length > MAX_BYTES) throw broken(`it has ${tar.length} bytes, more than ${MAX_BYTES}`);
  const bytes = Buffer.from(tar.buffer, tar.byteOffset, tar.byteLength);
  const items: TarItem[] = [];
  const refused: { path: string; reason: string }[] = [];
  let extended = new Map<string, Buffer>();
  for (let at = 0, entries = 0; ; entries++) {
    if (entries > MAX_ENTRIES) throw broken(`it has more than ${MAX_ENTRIES} entries`);
    if (at + BLOCK > bytes.length) throw broken("it has no end");
    const header = bytes.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return { items, refused };
    checkHeader(header);
    const size = octal(header, 124, 12);
    const body = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (body.length < size) throw broken("a body is cut off");
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    const flag = String.fromCharCode(header[156] ?? 0);
    if (flag === "x") {
      extended = readPax(body);
      continue;
    }
    const item = toItem(header, flag, body, extended);
    extended = new Map();
    if ("reason" in item) refused.push(item);
    else items.push(item);
  }
}

function toItem(
  header: Buffer,
  flag: string,
  body: Buffer,
  extended: ReadonlyMap<string, Buffer>,
): TarItem | { path: string; reason: string } {
  const rawPath = extended.get("path") ?? nameOf(header);
  const path = utf8(rawPath)?.replace(/\/$/, "");
  if (path === undefined) return { path: rawPath.toString("utf8"), reason: "its name is not UTF-8" };
  const mode = octal(header, 100, 8);
  if (flag === "5") return { type: "directory", path, mode };
  if (flag === "2") {
    const target = utf8(extended.get("linkpath") ?? cString(header, 157, 100));
    return target === undefined ? { path, reason: "its target is not UTF-8" } : { type: "symlink", path, target };
  }
  if (flag === "0" || flag === "\0") return { type: "file", path, mode, data: body };
  return { path, reason: `entries of type ${JSON.stringify(flag)} do not travel` };
}

function checkHeader(header: Buffer): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (header[i] ?? 0);
  if (sum !== octal(header, 148, 8)) throw broken("a checksum is wrong");
}

function readPax(body: Buffer): Map<string, Buffer> {
  if (body.length > MAX_PAX_BYTES) throw broken("an extended header is too long");
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(32, at);
    const length = space < 0 ? Number.NaN : Number(body.toString("latin1", at, space));
    const equals = body.indexOf(61, space);
    if (!(length > 0) || at + length > body.length || equals < 0 || equals >= at + length)
      throw broken("an extended header is wrong");
    records.set(body.toString("latin1", space + 1, equals), body.subarray(equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

function nameOf(header: Buffer): Buffer {
  const name = cString(header, 0, 100);
  const prefix = header.toString("latin1", 257, 262) === "ustar" ? cString(header, 345, 155) : Buffer.alloc(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]);
}

function cString(header: Buffer, at: number, width: number): Buffer {
  const field = header.subarray(at, at + width);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

function octal(header: Buffer, at: number, width: number): number {
  const text = cString(header, at, width).toString("latin1").trim();
  if (!/^[0-7]+$/.test(text)) throw broken("a number is wrong");
  return Number.parseInt(text, 8);
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const broken = (why: string) => new GymError("verifier_failed", `the submission's archive is broken: ${why}`);
