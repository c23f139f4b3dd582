import { setTimeout as sleep } from "node:timers/promises";
import { expectEqual, type Recorder, timed } from "./recorder.ts";

/** What others do when a trainer needs a sandbox and runs commands in it. */

export interface PeerResult {
  readonly exitCode: number | null;
  readonly stdout: string;
}

export interface PeerSandbox {
  run(argv: readonly string[]): Promise<PeerResult>;
  close(): Promise<void>;
}

export interface Peer {
  /** Samples at once that make sense for it. */
  readonly parallel: readonly number[];
  /** A new sandbox that can run commands. */
  open(): Promise<PeerSandbox>;
}

const EPISODE_STEPS = 20;
const IDLE_PAUSE_MS = 600;
const LONG_COMMAND = `: '${"x".repeat(10_000)}'; echo ok`;
const COMMANDS: readonly { operation: string; argv: readonly string[]; says: string; count: number }[] = [
  { operation: "exec_true", argv: ["/bin/true"], says: "", count: 60 },
  { operation: "exec_bash", argv: ["/bin/bash", "-c", "true"], says: "", count: 60 },
  { operation: "exec_python", argv: ["/usr/bin/python3", "-c", "print(6 * 7)"], says: "42\n", count: 30 },
  { operation: "command_10k", argv: ["/bin/bash", "-c", LONG_COMMAND], says: "ok\n", count: 30 },
];

export async function measurePeer(peer: Peer, rec: Recorder): Promise<void> {
  const widths = rec.plan.quick ? peer.parallel.filter((n) => n <= 16) : peer.parallel;
  for (const parallel of widths)
    await rec.measure({ operation: "create", parallel, count: Math.max(40, parallel), work: () => create(peer) });
  await rec.measure({
    operation: "create_idle",
    parallel: 1,
    count: 10,
    work: async () => {
      await sleep(IDLE_PAUSE_MS);
      return await create(peer);
    },
  });
  for (const parallel of widths) await commands(peer, rec, parallel);
  await rec.measure({
    operation: "episode_20",
    parallel: 1,
    count: 10,
    work: () => timed(() => withSandboxes(peer, 1, ([sandbox]) => episode(sandbox))),
  });
  if (rec.plan.quick) rec.miss("burst_100", "left out of quick runs");
  else await burst(peer, rec);
}

async function commands(peer: Peer, rec: Recorder, parallel: number): Promise<void> {
  await withSandboxes(peer, parallel, async (sandboxes) => {
    expectEqual("exit 7", (await sandboxes[0]?.run(["/bin/bash", "-c", "exit 7"]))?.exitCode, 7);
    for (const { operation, argv, says, count } of COMMANDS)
      await rec.measure({
        operation,
        parallel,
        count: Math.round(count * Math.sqrt(parallel)),
        work: (lane) => timed(() => said(sandboxes[lane], argv, says)),
      });
  });
}

async function said(sandbox: PeerSandbox | undefined, argv: readonly string[], says: string): Promise<void> {
  if (!sandbox) throw new RangeError("there is no such lane");
  const result = await sandbox.run(argv);
  expectEqual(`exit of ${argv[0]}`, result.exitCode, 0);
  expectEqual(`output of ${argv[0]}`, result.stdout, says);
}

async function create(peer: Peer): Promise<number> {
  const opened: PeerSandbox[] = [];
  try {
    return await timed(async () => void opened.push(await peer.open()));
  } finally {
    for (const one of opened) await one.close();
  }
}

async function episode(sandbox: PeerSandbox | undefined): Promise<void> {
  for (let step = 1; step <= EPISODE_STEPS; step++)
    await said(sandbox, ["/bin/bash", "-c", `echo step ${step}`], `step ${step}\n`);
}

async function burst(peer: Peer, rec: Recorder): Promise<void> {
  const opened: PeerSandbox[] = [];
  try {
    await rec.measure({
      operation: "burst_100",
      parallel: 100,
      count: 100,
      work: () => timed(async () => void opened.push(await peer.open())),
    });
  } finally {
    await Promise.all(opened.map((one) => one.close()));
  }
}

async function withSandboxes(
  peer: Peer,
  count: number,
  work: (sandboxes: readonly PeerSandbox[]) => Promise<void>,
): Promise<void> {
  const opened: PeerSandbox[] = [];
  try {
    while (opened.length < count) opened.push(await peer.open());
    await work(opened);
  } finally {
    await Promise.all(opened.map((one) => one.close()));
  }
}
