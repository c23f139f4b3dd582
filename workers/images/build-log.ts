import type { ImageBoard } from "../../platform/image-board.ts";

const FLUSH_MS = 300;
/** Lines that a failure carries. */
const TAIL_LINES = 20;
/** Lines that wait to be written; a build that talks faster loses the first of them. */
const MOST_WAITING = 2_000;

/** The log of one build, readable while it runs. Disposing it writes what is left. */
export class BuildLog implements AsyncDisposable {
  readonly #write: (lines: readonly string[]) => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #waiting: string[] = [];
  #last: string[] = [];
  #writing: Promise<void> = Promise.resolve();

  private constructor(write: (lines: readonly string[]) => Promise<void>) {
    this.#write = write;
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  static async open(board: ImageBoard, store: string, image: string): Promise<BuildLog> {
    await board.startLog(store, image);
    return new BuildLog((lines) => board.appendLog(store, image, lines));
  }

  add(text: string): void {
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
    this.#waiting = [...this.#waiting, ...lines].slice(-MOST_WAITING);
    this.#last = [...this.#last, ...lines].slice(-TAIL_LINES);
  }

  tail(): string {
    return this.#last.join("\n");
  }

  #flush(): void {
    const lines = this.#waiting;
    this.#waiting = [];
    // What cannot be written is lost: the build is worth more than its log.
    this.#writing = this.#writing.then(() => this.#write(lines)).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#flush();
    await this.#writing;
  }
}
