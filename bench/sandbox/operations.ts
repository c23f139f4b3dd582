import { setTimeout as sleep } from "node:timers/promises";
import type { ExecResult, OpenRequest, Sandbox, SandboxProvider, Shell } from "../../core/sandbox.ts";
import { availableKb, sharesKb } from "../memory.ts";
import { forks } from "./forks.ts";
import { expectEqual, type Recorder, timed } from "./recorder.ts";

/** Everything that the sandbox port can do, timed through the port. */

export interface TierOptions {
  /** Samples at once. */
  readonly parallel: readonly number[];
  /** Counts of new sandboxes are multiplied by it: where one takes 100 times as long there cannot be as many. */
  readonly share: number;
  /** Sandboxes kept idle at once; 0 leaves the operation out. */
  readonly idle: number;
}

const OWNER = "bench";
const TIMEOUT_MS = 60_000;
export const REQUEST: OpenRequest = { image: "host", owner: OWNER };
const EPISODE_STEPS = 20;
const IDLE_PAUSE_MS = 600;
const DENSITY_MS = 60_000;
const LONG_COMMAND = `: '${"x".repeat(10_000)}'; echo ok`;
/** 200 processes that fork without end and do not listen, all at once. It is bounded also where no limit holds. */
const BOMB = `mkfifo /tmp/gate; exec 9<>/tmp/gate
for i in {1..200}; do (trap "" TERM INT HUP; read -r -u 9; while :; do (:); done) & done
printf '\\n%.0s' {1..200} >&9; echo armed; wait`;

const BOMBS_MS = 20_000;
/** By then all of them fork. */
const ARMED_MS = 200;

export async function measureTier(provider: SandboxProvider, rec: Recorder, options: TierOptions): Promise<void> {
  const scaled = (count: number): number => Math.max(3, Math.round(count * options.share));
  const widths = rec.plan.quick ? options.parallel.filter((n) => n <= 16) : options.parallel;
  await (await provider.open(REQUEST)).close(); // the first one prepares what all others share
  for (const parallel of widths) {
    const count = Math.max(scaled(200), parallel);
    await rec.attempt("create", () => create(provider, rec, { operation: "create", parallel, count }));
  }
  await rec.attempt("create_idle", () =>
    create(provider, rec, { operation: "create_idle", parallel: 1, count: Math.max(5, scaled(20)) }),
  );
  for (const parallel of widths)
    await rec.attempt("commands", () => commands(provider, rec, { parallel, count: 200 * Math.sqrt(parallel) }));
  for (const parallel of widths.filter((n) => n <= 16))
    await rec.attempt("episode_20", () => episodes(provider, rec, { parallel, count: scaled(60) }));
  await rec.attempt("fork", () => forks(provider, rec, scaled(40)));
  await rec.attempt("kill_bomb", () => kills(provider, rec, scaled(100)));
  await rec.attempt("burst_100", () => burst(provider, rec));
  if (options.idle > 0) await rec.attempt("idle_1000", () => idle(provider, rec, options.idle));
}

interface Size {
  readonly parallel: number;
  readonly count: number;
}

async function create(provider: SandboxProvider, rec: Recorder, size: Size & { operation: string }): Promise<void> {
  await rec.measure({
    ...size,
    work: async (_lane, index) => {
      if (size.operation === "create_idle") await sleep(IDLE_PAUSE_MS);
      return await opened(provider, index % 16 === 0);
    },
  });
}

/** Every sixteenth is asked for something, so that a sandbox that cannot work is no success. */
async function opened(provider: SandboxProvider, asked: boolean): Promise<number> {
  let sandbox: Sandbox | null = null;
  try {
    const ms = await timed(async () => {
      sandbox = await provider.open(REQUEST);
    });
    if (asked) expectEqual("a new sandbox", await output(sandbox, ["echo", "hi"]), "hi\n");
    return ms;
  } finally {
    await closed(sandbox);
  }
}

const closed = async (sandbox: Sandbox | null): Promise<void> => await sandbox?.close();

export async function output(sandbox: Sandbox | null, argv: readonly string[]): Promise<string> {
  if (!sandbox) throw new Error("there is no sandbox");
  return textOf(await sandbox.exec({ argv, timeoutMs: TIMEOUT_MS }));
}

function textOf(result: Pick<ExecResult, "exitCode" | "stdout" | "stderr">): string {
  if (result.exitCode !== 0) throw new Error(`exit ${result.exitCode}: ${Buffer.from(result.stderr).toString()}`);
  return Buffer.from(result.stdout).toString();
}

interface Lane {
  readonly sandbox: Sandbox;
  readonly shell: Shell;
}

/** One sandbox with one shell per lane, for all operations on commands and files. */
async function commands(provider: SandboxProvider, rec: Recorder, size: Size): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const lanes: Lane[] = [];
  while (lanes.length < size.parallel) {
    const sandbox = stack.use(await provider.open(REQUEST));
    lanes.push({ sandbox, shell: stack.use(await sandbox.shell()) });
  }
  const seven = await lanes[0]?.sandbox.exec({ argv: ["bash", "-c", "exit 7"], timeoutMs: TIMEOUT_MS });
  expectEqual("bash -c 'exit 7'", seven?.exitCode, 7);
  await programs(lanes, rec, size);
  await shellCommands(lanes, rec, size);
  if (size.parallel <= 16) await files(lanes, rec, size);
}

function laneOf(lanes: readonly Lane[], number: number): Lane {
  const found = lanes[number];
  if (!found) throw new RangeError(`there is no lane ${number}`);
  return found;
}

async function programs(lanes: readonly Lane[], rec: Recorder, { parallel, count }: Size): Promise<void> {
  const programs: readonly [operation: string, argv: readonly string[], says: string, count: number][] = [
    ["exec_true", ["true"], "", count],
    ["exec_bash", ["bash", "-c", "true"], "", count],
    ["exec_python", ["python3", "-c", "print(6 * 7)"], "42\n", Math.round(count * 0.3)],
  ];
  for (const [operation, argv, says, samples] of programs)
    await rec.measure({
      operation,
      parallel,
      count: samples,
      work: (lane) => timed(async () => expectEqual(operation, await output(laneOf(lanes, lane).sandbox, argv), says)),
    });
}

async function shellCommands(lanes: readonly Lane[], rec: Recorder, { parallel, count }: Size): Promise<void> {
  const run = async (lane: number, command: string, says: string): Promise<number> =>
    await timed(async () => {
      const result = await laneOf(lanes, lane).shell.run(command, { timeoutMs: TIMEOUT_MS });
      expectEqual("what the shell says", textOf(result), says);
    });
  await rec.measure({
    operation: "builtin",
    parallel,
    count,
    work: (lane, index) => run(lane, `echo $((${index} + 1))`, `${index + 1}\n`),
  });
  await rec.measure({ operation: "command_10k", parallel, count, work: (lane) => run(lane, LONG_COMMAND, "ok\n") });
}

async function files(lanes: readonly Lane[], rec: Recorder, { parallel, count }: Size): Promise<void> {
  for (const [operation, bytes, samples] of [
    ["file_10k", 10_000, count] as const,
    ["file_1m", 1_000_000, Math.round(count * 0.3)] as const,
  ])
    await rec.measure({
      operation,
      parallel,
      count: samples,
      work: (lane, index) => roundTrip(laneOf(lanes, lane).sandbox, Buffer.alloc(bytes, `${index} `)),
    });
}

async function roundTrip(sandbox: Sandbox, data: Uint8Array): Promise<number> {
  return await timed(async () => {
    const written = await sandbox.write("round-trip.bin", data);
    if (!written.ok) throw new Error(written.message);
    const read = await sandbox.read("round-trip.bin");
    if (!read.ok) throw new Error(read.message);
    expectEqual("the file", Buffer.compare(read.value, data), 0);
  });
}

/** Open, 20 steps in one shell with files that last from step to step, close. */
async function episodes(provider: SandboxProvider, rec: Recorder, size: Size): Promise<void> {
  await rec.measure({
    operation: "episode_20",
    ...size,
    work: () =>
      timed(async () => {
        await using sandbox = await provider.open(REQUEST);
        await using shell = await sandbox.shell();
        for (let step = 1; step <= EPISODE_STEPS; step++) {
          const result = await shell.run(`echo ${step} >> log; wc -l < log`, { timeoutMs: TIMEOUT_MS });
          expectEqual("the step", textOf(result).trim(), String(step));
        }
      }),
  });
}

async function kills(provider: SandboxProvider, rec: Recorder, count: number): Promise<void> {
  await rec.measure({
    operation: "kill_bomb",
    parallel: 1,
    count,
    budgetMs: BOMBS_MS,
    work: async () => {
      await using sandbox = await provider.open({ ...REQUEST, limits: { processes: 512 } });
      const armed = Promise.withResolvers<void>();
      const bomb = await sandbox.spawn({
        argv: ["bash", "-c", BOMB],
        timeoutMs: TIMEOUT_MS,
        onOutput: ({ data }) => {
          if (Buffer.from(data).includes("armed")) armed.resolve();
        },
      });
      await Promise.race([armed.promise, bomb.exit.then(() => armed.reject(new Error("the bomb ended by itself")))]);
      await sleep(ARMED_MS);
      const ms = await timed(async () => {
        await bomb.kill();
        await bomb.exit;
      });
      const left = Number(await output(sandbox, ["bash", "-c", "ls -d /proc/[0-9]* | wc -l"]));
      if (left > 8) throw new Error(`${left} processes are left`);
      return ms;
    },
  });
}

async function burst(provider: SandboxProvider, rec: Recorder): Promise<void> {
  if (rec.plan.quick && provider.tier !== "light") return rec.miss("burst_100", "left out of quick runs");
  await using stack = new AsyncDisposableStack();
  await rec.measure({
    operation: "burst_100",
    parallel: 100,
    count: 100,
    work: () =>
      timed(async () => {
        stack.use(await provider.open(REQUEST));
      }),
  });
}

async function idle(provider: SandboxProvider, rec: Recorder, count: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const sandboxes: Sandbox[] = [];
  const before = { own: await sharesKb(), available: await availableKb() };
  await rec.measure({
    operation: "idle_1000",
    parallel: 16,
    count,
    budgetMs: DENSITY_MS,
    work: () =>
      timed(async () => {
        sandboxes.push(stack.use(await provider.open(REQUEST)));
      }),
    after: async () => {
      const own = await sharesKb();
      const available = await availableKb();
      const answers = await Promise.allSettled(sandboxes.map((sandbox) => output(sandbox, ["echo", "hi"])));
      return {
        errors: answers.filter((one) => one.status === "rejected" || one.value !== "hi\n").length,
        ...(own === null || before.own === null ? {} : { memory_kb: each(own - before.own, sandboxes.length) }),
        available_kb: each(before.available - available, sandboxes.length),
      };
    },
  });
}

const each = (sum: number, count: number): number => Math.round(sum / Math.max(count, 1));
