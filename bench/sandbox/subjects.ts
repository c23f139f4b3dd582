import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { SandboxProvider } from "../../core/sandbox.ts";
import { openLight } from "../../docker/catalog.ts";
import { openContainers } from "../../docker/container/open.ts";
import { buildLight } from "../../docker/light/build.ts";
import { silentLog } from "../../docker/log.ts";
import { measureTier, output, REQUEST } from "./operations.ts";
import { expectEqual, type Plan, type Recorder, type Results, recorder, timed } from "./recorder.ts";

/** Our own tiers, each through the sandbox port. */

const NOBODY = 65_534;
const PARALLEL = [1, 16, 64];
const IDLE = 1_000;
const QUICK_IDLE = 2_000; // a tenth of it is taken

export async function measureLight(subject: string, home: string, plan: Plan): Promise<Results> {
  const rec = recorder(subject, plan);
  await rec.attempt("all", async () => {
    await using provider = await openLight({ home, warm: 0 });
    const idle = plan.quick ? QUICK_IDLE : IDLE;
    await measureTier(provider, rec, { parallel: PARALLEL, share: 1, idle });
  });
  // Last, as in a worker that has run for a while: the first hundreds of any call are Node compiling it.
  await rec.attempt("acquire", async () => {
    await using warm = await openLight({ home, saturated: () => false });
    await acquire(warm, rec, 200);
  });
  return rec.results;
}

/** The same as an ordinary user, in a process of its own with a home of its own. */
export async function measureUnprivileged(subject: string, home: string, plan: Plan): Promise<Results> {
  if (process.geteuid?.() !== 0) return await measureLight(subject, home, plan);
  const rec = recorder(subject, plan);
  const own = await mkdtemp(join(tmpdir(), "polygym-bench-"));
  try {
    await chown(own, NOBODY, NOBODY);
    return await asNobody(subject, own, plan);
  } catch (error) {
    plan.signal.throwIfAborted();
    rec.miss("all", error);
    return rec.results;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function asNobody(subject: string, home: string, plan: Plan): Promise<Results> {
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--pdeathsig=TERM"];
  const script = join(import.meta.dirname, "../sandbox.ts");
  const flags = ["--as", subject, "--home", home, ...(plan.quick ? ["--quick"] : [])];
  const child = spawn("setpriv", [...user, process.execPath, script, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: home,
    signal: plan.signal,
  });
  const said = text(child.stdout);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the measuring process of user ${NOBODY} ended with ${code}`);
  return JSON.parse(await said) as Results; // written by main of this same bench
}

export async function measureDocker(home: string, engine: string, plan: Plan): Promise<Results> {
  const rec = recorder("docker", plan);
  await rec.attempt("all", async () => {
    const options = { home, engine, log: silentLog, binary: await buildLight(home) };
    await using cold = await openContainers({ ...options, warm: 0 });
    rec.miss("idle_1000", "a container takes 0.2 s and tens of MB; burst_100 shows how they add up");
    rec.miss("parallel 64", "four containers start at a time, more only wait");
    await measureTier(cold, rec, { parallel: [1, 16], share: 0.1, idle: 0 });
    await rec.attempt("acquire", async () => {
      await using warm = await openContainers({ ...options, warm: 1 });
      await acquire(warm, rec, 20);
    });
  });
  return rec.results;
}

interface Pooled extends SandboxProvider {
  settled(): Promise<void>;
}

/** From a pool that has been filled again before each sample. */
async function acquire(warm: Pooled, rec: Recorder, count: number): Promise<void> {
  for (let i = 0; i < 2; i++) await (await warm.open(REQUEST)).close();
  await rec.measure({
    operation: "acquire",
    parallel: 1,
    count,
    work: async () => {
      await warm.settled();
      const holder: AsyncDisposable[] = [];
      try {
        const ms = await timed(async () => void holder.push(await warm.open(REQUEST)));
        return ms;
      } finally {
        for (const one of holder) await one[Symbol.asyncDispose]();
      }
    },
  });
  await using sandbox = await warm.open(REQUEST);
  expectEqual("a warm sandbox", await output(sandbox, ["echo", "hi"]), "hi\n");
}
