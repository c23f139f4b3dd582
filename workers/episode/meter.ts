import type { OutputChunk, Sandbox, Shell } from "../../core/sandbox.ts";

/** What ran inside a sandbox, for the trajectory and the limits. */
export interface ToolRun {
  readonly tool: "exec" | "shell";
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly durationMs: number;
  readonly outputBytes: number;
}

export interface Meter {
  /** Time spent waiting for the sandbox since the last reset. */
  toolMs: number;
  /** Bytes of output of the whole episode. */
  outputBytes: number;
  onRun: (run: ToolRun) => void;
  onBytes: (total: number) => void;
}

export const newMeter = (): Meter => ({ toolMs: 0, outputBytes: 0, onRun: () => undefined, onBytes: () => undefined });

/**
 * The same sandbox, with its commands timed and counted. Files go through unchanged but for their time. The framework
 * cannot tell the difference.
 */
export function meteredSandbox(inner: Sandbox, meter: Meter): Sandbox {
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    try {
      return await work();
    } finally {
      meter.toolMs += performance.now() - started;
    }
  };
  const counted = (onOutput: ((chunk: OutputChunk) => void) | undefined) => (chunk: OutputChunk) => {
    meter.outputBytes += chunk.data.length;
    meter.onBytes(meter.outputBytes);
    onOutput?.(chunk);
  };
  return {
    id: inner.id,
    image: inner.image,
    opening: inner.opening,
    exec: async (request, signal) => {
      const result = await timed(() => inner.exec({ ...request, onOutput: counted(request.onOutput) }, signal));
      meter.onRun({ tool: "exec", ...result, outputBytes: result.stdoutBytes + result.stderrBytes });
      return result;
    },
    spawn: (request) => timed(() => inner.spawn({ ...request, onOutput: counted(request.onOutput) })),
    shell: async (options) => meteredShell(await timed(() => inner.shell(options)), meter, timed, counted),
    read: (...args) => timed(() => inner.read(...args)),
    write: (...args) => timed(() => inner.write(...args)),
    list: (...args) => timed(() => inner.list(...args)),
    stat: (path) => timed(() => inner.stat(path)),
    remove: (path) => timed(() => inner.remove(path)),
    programs: () => inner.programs(),
    forward: (...args) => inner.forward(...args),
    freeze: (options) => inner.freeze(options),
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}

function meteredShell(
  inner: Shell,
  meter: Meter,
  timed: <T>(work: () => Promise<T>) => Promise<T>,
  counted: (onOutput: ((chunk: OutputChunk) => void) | undefined) => (chunk: OutputChunk) => void,
): Shell {
  return {
    run: async (command, options) => {
      const result = await timed(() => inner.run(command, { ...options, onOutput: counted(options.onOutput) }));
      meter.onRun({ tool: "shell", ...result, outputBytes: result.stdoutBytes + result.stderrBytes });
      return result;
    },
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}
