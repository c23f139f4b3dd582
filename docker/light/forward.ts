import { Duplex } from "node:stream";
import type { ForwardedConnection } from "../../core/sandbox.ts";
import { type AgentConnection, refused } from "./agent-connection.ts";
import { type Frame, Payload, PayloadReader } from "./frames.ts";

/** Bytes to the program that it has not taken yet (agent-forward.c ends an agent that is sent more). */
const CREDIT = 256 * 1024;
/** Bytes of one frame to the agent. */
const PIECE = 64 * 1024;
const NUMBER_BYTES = 4;

/** Opens a port inside. Each of its connections is given to `onConnection` once. */
export async function openForward(
  agent: AgentConnection,
  port: number,
  onConnection: (connection: ForwardedConnection) => void,
): Promise<void> {
  if (!Number.isInteger(port) || port < 1024 || port > 65_535)
    throw new RangeError(`a forwarded port must be 1024..65535, got ${port}`);
  const open = new Map<number, Tunnel>();
  const opened = Promise.withResolvers<void>();
  const accept = (number: number): void => {
    const send = (type: string, data?: Uint8Array): void => {
      const payload = new Payload().u32(number);
      if (!agent.lost) agent.send((data === undefined ? payload : payload.bytes(data)).frame(id, type));
    };
    const tunnel = new Tunnel(send, () => open.delete(number));
    open.set(number, tunnel);
    onConnection(tunnel);
  };
  const take = (frame: Frame): void => {
    if (frame.type === "o") opened.resolve();
    else if (frame.type === "e") opened.reject(refused(frame.payload.toString()));
    else if (frame.type === "a") accept(new PayloadReader(frame.payload).u32());
    else open.get(new PayloadReader(frame.payload).u32())?.onFrame(frame.type, frame.payload.subarray(NUMBER_BYTES));
  };
  const id = agent.register({
    frame: take,
    fail: (error) => {
      opened.reject(error);
      for (const tunnel of [...open.values()]) tunnel.destroy(error);
    },
  });
  agent.send(new Payload().u32(port).frame(id, "Y"));
  try {
    await opened.promise;
  } catch (error) {
    agent.unregister(id);
    throw error;
  }
}

type Send = (type: string, data?: Uint8Array) => void;

/** One connection as a stream. What its reader has not taken is not acknowledged, so the program waits. */
class Tunnel extends Duplex {
  readonly #send: Send;
  readonly #forget: () => void;
  /** Bytes handed to the reader and not acknowledged yet. */
  #taken = 0;
  #room = CREDIT;
  #blocked: (() => void) | null = null;
  #gone = false;

  constructor(send: Send, forget: () => void) {
    super({ allowHalfOpen: true });
    this.#send = send;
    this.#forget = forget;
    this.on("error", () => undefined); // its user may listen, too; nobody has to
  }

  onFrame(type: string, data: Buffer): void {
    switch (type) {
      case "d":
        this.#taken += data.length;
        this.push(Buffer.from(data));
        return;
      case "f":
        this.push(null);
        return;
      case "k":
        this.#room += data.readUInt32LE(0);
        this.#blocked?.();
        return;
      case "c":
        this.#gone = true;
        this.push(null);
        if (this.writableFinished) this.destroy();
        else this.destroy(new Error("the program closed the connection"));
    }
  }

  override _read(): void {
    if (this.#taken === 0) return;
    const amount = Buffer.alloc(NUMBER_BYTES);
    amount.writeUInt32LE(this.#taken);
    this.#taken = 0;
    this.#send("k", amount);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const step = (rest: Buffer): void => {
      const length = Math.min(rest.length, this.#room, PIECE);
      if (length > 0) {
        this.#room -= length;
        this.#send("d", rest.subarray(0, length));
      }
      if (length === rest.length) {
        done();
        return;
      }
      this.#blocked = () => {
        this.#blocked = null;
        step(rest.subarray(length));
      };
      if (this.#room > 0) this.#blocked();
    };
    step(chunk);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send("f");
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#gone) this.#send("c");
    this.#gone = true;
    this.#forget();
    done(error);
  }
}
