import type { Sandbox, SandboxProvider, Snapshot } from "../../core/sandbox.ts";
import { expectEqual, type Recorder, timed } from "./recorder.ts";

/** Forks of workspaces of few and of many files: what a fork costs must not depend on that. */
const SIZES = [200, 20_000];
const REQUEST = { image: "host", owner: "bench" };
const FILL_MS = 120_000;

export async function forks(provider: SandboxProvider, rec: Recorder, count: number): Promise<void> {
  for (const files of SIZES) {
    if (files > 200 && rec.plan.quick && provider.tier !== "light")
      rec.miss(`fork_*_${files}`, "left out of quick runs");
    else {
      await rec.attempt(`fork_frozen_${files}`, () => ofFrozen(provider, rec, { files, count }));
      await rec.attempt(`fork_live_${files}`, () =>
        ofLive(provider, rec, { files, count: files > 200 ? count / 2 : count }),
      );
    }
  }
}

interface Size {
  readonly files: number;
  readonly count: number;
}

async function filled(provider: SandboxProvider, files: number): Promise<Sandbox> {
  const sandbox = await provider.open(REQUEST);
  const script = `mkdir many && for ((i = 0; i < ${files}; i++)); do echo $i > many/$i; done && ls many | wc -l`;
  const result = await sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: FILL_MS });
  expectEqual("files made", Buffer.from(result.stdout).toString().trim(), String(files));
  return sandbox;
}

async function check(sandbox: Sandbox, files: number): Promise<void> {
  const read = await sandbox.read(`many/${files - 1}`);
  expectEqual("the last file", read.ok ? Buffer.from(read.value).toString() : read.error, `${files - 1}\n`);
}

async function ofFrozen(provider: SandboxProvider, rec: Recorder, { files, count }: Size): Promise<void> {
  const snapshot = await (await filled(provider, files)).freeze();
  try {
    for (const parallel of [1, 16])
      await rec.measure({
        operation: `fork_frozen_${files}`,
        parallel,
        count: Math.max(Math.round(count * Math.sqrt(parallel)), parallel),
        work: async () => {
          let forked: Sandbox[] = [];
          try {
            const ms = await timed(async () => {
              forked = await provider.fork(snapshot, 1, { owner: REQUEST.owner });
            });
            for (const one of forked) await check(one, files);
            expectEqual("forks", forked.length, 1);
            return ms;
          } finally {
            await Promise.all(forked.map((one) => one.close()));
          }
        },
      });
  } finally {
    await provider.release(snapshot);
  }
}

/** The parent is frozen with all its files in the writable layer; it goes on beside its child. */
async function ofLive(provider: SandboxProvider, rec: Recorder, { files, count }: Size): Promise<void> {
  await rec.measure({
    operation: `fork_live_${files}`,
    parallel: 1,
    count: Math.ceil(count),
    work: async () => {
      const parent = await filled(provider, files);
      let snapshot: Snapshot | null = null;
      let forked: Sandbox[] = [];
      try {
        const ms = await timed(async () => {
          snapshot = await parent.freeze();
          forked = await provider.fork(snapshot, 2, { owner: REQUEST.owner });
        });
        for (const one of forked) await check(one, files);
        expectEqual("parent and child", forked.length, 2);
        return ms;
      } finally {
        await Promise.all([parent, ...forked].map((one) => one.close()));
        await released(provider, snapshot);
      }
    },
  });
}

async function released(provider: SandboxProvider, snapshot: Snapshot | null): Promise<void> {
  if (snapshot) await provider.release(snapshot);
}
