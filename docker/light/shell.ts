import { GymError } from "../../core/errors.ts";
import type { Shell, ShellOptions, ShellResult, ShellRunOptions } from "../../core/sandbox.ts";
import { WORKSPACE } from "../../core/sandbox.ts";
import { type AgentConnection, isOwnLimit } from "./agent-connection.ts";
import { type CommandContext, checkBounds, DEFAULT_MAX_OUTPUT, FLAG_STREAM, RunCollector } from "./command.ts";
import { MAX_FRAME, Payload } from "./frames.ts";

/** The persistent bash of a sandbox. Covers and does not cover: agent-shell.c. */
export class LightShell implements Shell {
  readonly #connection: AgentConnection;
  readonly #id: number;
  readonly #context: CommandContext;
  #queue: Promise<unknown> = Promise.resolve();
  #exited = false;

  private constructor(context: CommandContext, id: number) {
    this.#connection = context.connection;
    this.#id = id;
    this.#context = context;
  }

  static async open(context: CommandContext, options: ShellOptions): Promise<LightShell> {
    const { connection } = context;
    const opened = Promise.withResolvers<void>();
    const id = connection.register({
      frame: (frame) => {
        if (frame.type === "o") opened.resolve();
        else opened.reject(noShell(frame.payload.toString()));
      },
      fail: opened.reject,
    });
    const env = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
    const cwd = options.cwd ?? WORKSPACE;
    connection.send(new Payload().text(cwd).strings(env).frame(id, "S"));
    await opened.promise;
    return new LightShell(context, id);
  }

  async run(command: string, options: ShellRunOptions): Promise<ShellResult> {
    checkBounds(options);
    const result = this.#queue.then(() => this.#run(command, options));
    this.#queue = result.catch(() => undefined);
    return await result;
  }

  async close(): Promise<void> {
    this.#exited = true;
    if (!this.#connection.lost) this.#connection.send(new Payload().frame(this.#id, "K"));
    this.#connection.unregister(this.#id);
    await this.#queue;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(command: string, options: ShellRunOptions): Promise<ShellResult> {
    if (this.#exited) throw new GymError("sandbox_unavailable", "the shell has ended: open a new one");
    const collector = new RunCollector(options, this.#context);
    const { id } = collector;
    const frame = new Payload()
      .u32(this.#id)
      .u32(options.timeoutMs)
      .u32(options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT)
      .u32(options.onOutput ? FLAG_STREAM : 0)
      .bytes(Buffer.from(command))
      .frame(id, "M");
    try {
      if (frame.length > MAX_FRAME) collector.fail(new GymError("sandbox_unavailable", "the command is too large"));
      else this.#connection.send(frame);
      const { signal: _signal, shellEnded, ...result } = await collector.done.promise;
      if (shellEnded) this.#exited = true;
      return { ...result, exited: shellEnded };
    } finally {
      this.#connection.unregister(id);
    }
  }
}

/** A sandbox whose own programs leave no room for a shell cannot go on: their doing, and judged. */
const noShell = (text: string): GymError =>
  new GymError(isOwnLimit(text) ? "sandbox_killed" : "sandbox_unavailable", `no shell: ${text}`);
