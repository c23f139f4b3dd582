import type { Socket } from "node:net";
import { GymError } from "../../core/errors.ts";
import { type Frame, FrameParser, MAX_FRAME, type Payload } from "./frames.ts";

/** Receives the frames of one request; `fail` is called at most once, when the connection ends first. */
export interface FrameHandler {
  frame(frame: Frame): void;
  fail(error: GymError): void;
}

/** The connection to the agent of one sandbox. */
export class AgentConnection {
  readonly #socket: Socket;
  readonly #handlers = new Map<number, FrameHandler>();
  readonly #parser = new FrameParser();
  readonly #alive = Promise.withResolvers<void>();
  #next = 1;
  #lost: GymError | null = null;
  /** Resolves when the connection has ended, however. */
  readonly ended: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#handlers.set(0, { frame: () => this.#alive.resolve(), fail: this.#alive.reject });
    this.#alive.promise.catch(() => undefined); // seen by whoever waits for it
    socket.on("data", (chunk) => this.#receive(chunk));
    this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined); // "close" follows and tells it
  }

  /** Over a socket that connects or is connected. Requests may follow at once; whoever begins it tells it of its {@link ended | end}. */
  static begin(socket: Socket): AgentConnection {
    return new AgentConnection(socket);
  }

  /** Resolves when the agent says that it runs. Rejects when the connection is lost before. */
  async alive(): Promise<void> {
    await this.#alive.promise;
  }

  get lost(): boolean {
    return this.#lost !== null;
  }

  /** Registers `handler` for a new request id. */
  register(handler: FrameHandler): number {
    if (this.#lost) throw this.#lost;
    const id = this.#next++;
    this.#handlers.set(id, handler);
    return id;
  }

  unregister(id: number): void {
    this.#handlers.delete(id);
  }

  /** False: the caller's next write should wait for {@link drained}. */
  send(frame: Buffer): boolean {
    if (this.#lost) throw this.#lost;
    return this.#socket.write(frame);
  }

  async drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    await Promise.race([new Promise((resolve) => this.#socket.once("drain", resolve)), this.ended]);
  }

  /** A request with one answer: resolves with the payload of 'o', or with the text of 'e' as an error. */
  async request(type: string, payload: Payload): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const id = this.register({
      frame: (frame) => {
        this.unregister(id);
        if (frame.type === "o") resolve(frame.payload);
        else reject(refused(frame.payload.toString()));
      },
      fail: reject,
    });
    const frame = payload.frame(id, type);
    if (frame.length > MAX_FRAME) {
      this.unregister(id);
      throw refused(`a request of ${frame.length} bytes is too large`);
    }
    this.send(frame);
    return await promise;
  }

  /** The same; null when no answer comes within `ms`: the sandbox's programs give its agent no turn. */
  async requestWithin(ms: number, type: string, payload: Payload): Promise<Buffer | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      // Timers come before sockets: after this process was held up, the answer may be there already.
      timer = setTimeout(() => setImmediate(resolve, null), ms);
    });
    const asked = this.request(type, payload);
    asked.catch(() => undefined); // also when it comes late
    return await Promise.race([asked, late]).finally(() => clearTimeout(timer));
  }

  /** Makes every open and future request fail with `error`, and closes. */
  lose(error: GymError): void {
    if (this.#lost) return;
    this.#lost = error;
    const handlers = [...this.#handlers.values()];
    this.#handlers.clear();
    for (const handler of handlers) handler.fail(error);
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      this.#parser.push(chunk, (frame) => this.#handlers.get(frame.id)?.frame(frame));
    } catch (error) {
      this.lose(new GymError("sandbox_killed", "the sandbox's agent broke the protocol", { cause: error }));
    }
  }
}

export function refused(text: string): GymError {
  return new GymError("sandbox_unavailable", `the sandbox refused: ${text}`, { retryable: true });
}

/** What C libraries say for EAGAIN, ENOMEM (two of them) and ENOSPC. */
const OWN_LIMITS = [
  "Resource temporarily unavailable",
  "Cannot allocate memory",
  "Out of memory",
  "No space left on device",
];

/** Whether a sandbox's own programs used up its processes, memory or terminals. */
export const isOwnLimit = (text: string): boolean => OWN_LIMITS.some((end) => text.endsWith(end));
