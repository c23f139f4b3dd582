/**
 * Frames between the worker and the native side: {u32 length, u32 id, u8 type, payload}, little-endian (light.h).
 * Covers: a frame longer than {@link MAX_FRAME} ends the connection instead of being buffered.
 */
const HEAD = 9;
/** Bytes of one frame in either direction; the native side refuses longer ones too. */
export const MAX_FRAME = 4 * 1024 * 1024;

export interface Frame {
  readonly id: number;
  readonly type: string;
  readonly payload: Buffer;
}

/** Builds the payload of one frame. */
export class Payload {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    this.#parts.push(Uint8Array.of(value));
    return this;
  }

  u32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
    return this;
  }

  u64(value: number): this {
    const part = Buffer.allocUnsafe(8);
    part.writeBigUInt64LE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  text(value: string): this {
    const bytes = Buffer.from(value);
    return this.u32(bytes.length).bytes(bytes);
  }

  /** A list of strings, each with its length in front and a NUL behind. */
  strings(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.text(value).u8(0);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    return this;
  }

  frame(id: number, type: string): Buffer {
    const length = this.#parts.reduce((sum, part) => sum + part.length, 0);
    const frame = Buffer.allocUnsafe(HEAD + length);
    frame.writeUInt32LE(length, 0);
    frame.writeUInt32LE(id, 4);
    frame.writeUInt8(type.charCodeAt(0), 8);
    let at = HEAD;
    for (const part of this.#parts) {
      frame.set(part, at);
      at += part.length;
    }
    return frame;
  }
}

/** Reads what a payload holds, in order. A short payload throws a RangeError. */
export class PayloadReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  u8(): number {
    return this.#data.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#data.readUInt32LE(this.#take(4));
  }

  u64(): number {
    return Number(this.#data.readBigUInt64LE(this.#take(8)));
  }

  bytes(): Buffer {
    const length = this.u32();
    const at = this.#take(length);
    return this.#data.subarray(at, at + length);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#data.length) throw new RangeError(`a payload of ${this.#data.length} bytes ended early`);
    this.#at += length;
    return at;
  }
}

/** Cuts a byte stream into frames. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #have = 0;
  #need = HEAD;

  /** Calls `onFrame` for every frame that is complete now. Throws on a frame that is too long. */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    this.#parts.push(chunk);
    this.#have += chunk.length;
    if (this.#have < this.#need) return;
    let data = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#have);
    this.#need = HEAD;
    while (data.length >= HEAD) {
      const length = data.readUInt32LE(0);
      if (length > MAX_FRAME) throw new RangeError(`a frame of ${length} bytes`);
      if (data.length < HEAD + length) {
        this.#need = HEAD + length;
        break;
      }
      const frame = {
        id: data.readUInt32LE(4),
        type: String.fromCharCode(data.readUInt8(8)),
        payload: data.subarray(HEAD, HEAD + length),
      };
      data = data.subarray(HEAD + length);
      onFrame(frame);
    }
    this.#rest = data;
    this.#parts = data.length > 0 ? [this.#rest] : [];
    this.#have = data.length;
  }
}
