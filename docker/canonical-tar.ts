/**
 * Writes tar archives whose bytes depend on their content only: sorted by the caller, times and owners 0, no names of
 * users. Covers: paths that are too long for the classic header get a PAX record; nothing else is ever in one.
 */
export type TarEntry =
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string };

const BLOCK = 512;
const TYPE_FLAGS = { file: "0", directory: "5", symlink: "2" } as const;

export function writeTar(entries: readonly TarEntry[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const entry of entries) {
    const name = entry.type === "directory" ? `${entry.path}/` : entry.path;
    const target = entry.type === "symlink" ? entry.target : "";
    const records: string[] = [];
    if (Buffer.byteLength(name) > 100) records.push(paxRecord("path", name));
    if (Buffer.byteLength(target) > 100) records.push(paxRecord("linkpath", target));
    if (records.length > 0) {
      const body = Buffer.from(records.join(""));
      blocks.push(header({ name: "pax", target: "", mode: 0o644, size: body.length, flag: "x" }), padded(body));
    }
    const data = entry.type === "file" ? entry.data : new Uint8Array(0);
    const mode = entry.type === "symlink" ? 0o777 : entry.mode;
    blocks.push(header({ name, target, mode, size: data.length, flag: TYPE_FLAGS[entry.type] }), padded(data));
  }
  blocks.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(blocks);
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

interface Header {
  readonly name: string;
  readonly target: string;
  readonly mode: number;
  readonly size: number;
  readonly flag: string;
}

function header(fields: Header): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  };
  Buffer.from(fields.name).copy(block, 0, 0, 100);
  octal(fields.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(fields.size, 124, 12);
  octal(0, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(fields.flag, 156, "latin1");
  Buffer.from(fields.target).copy(block, 157, 0, 100);
  block.write("ustar\0" + "00", 257, "latin1");
  octal(0, 329, 8);
  octal(0, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function padded(data: Uint8Array): Uint8Array {
  const rest = data.length % BLOCK;
  return rest === 0 ? data : Buffer.concat([data, new Uint8Array(BLOCK - rest)]);
}
