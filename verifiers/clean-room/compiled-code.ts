import type { CodeCache } from "../../core/verifier.ts";

/** Hidden files and programs kept compiled; a few KB each. */
const MAX_ENTRIES = 512;

/** Compiled code of all interpreters that a worker's servers run, the latest used. */
export class CompiledCode {
  readonly #entries = new Map<string, string>();

  /** The part of one interpreter of one image. */
  of(interpreter: string): CodeCache {
    const nameOf = (key: string) => `${interpreter} ${key}`;
    return { get: (key) => this.#get(nameOf(key)), set: (key, code) => this.#set(nameOf(key), code) };
  }

  #get(name: string): string | null {
    const code = this.#entries.get(name);
    if (code === undefined) return null;
    this.#set(name, code);
    return code;
  }

  #set(name: string, code: string): void {
    this.#entries.delete(name);
    this.#entries.set(name, code);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) return;
      this.#entries.delete(oldest);
    }
  }
}
