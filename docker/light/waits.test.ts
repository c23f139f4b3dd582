import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mostWithheldMs, type Sandbox } from "../../core/sandbox.ts";
import { openProvider } from "../catalog.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

const SPIN = "while True: pass";
const PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"];

/** Keeps every core busy outside of all sandboxes: a sandbox gets half of one. */
async function busyMachine(): Promise<Disposable> {
  const program = `print("on", flush=True)\n${SPIN}`;
  const children = cpus().map((_, core) =>
    spawn("taskset", ["-c", String(core), ...PYTHON, program], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  await Promise.all(children.map(({ stdout }) => once(stdout, "data")));
  return {
    [Symbol.dispose]: () => {
      for (const child of children) child.kill("SIGKILL");
    },
  };
}

const python = (sandbox: Sandbox, code: string, timeoutMs: number) =>
  sandbox.exec({ argv: [...PYTHON, code], timeoutMs });

/** Which share of half a second `programs` of the sandbox, all on one core, could do nothing at all. */
async function shareWaited(sandbox: Sandbox, programs: number): Promise<number> {
  const script = `for i in $(seq ${programs}); do ${PYTHON.slice(0, 3).join(" ")} -c '${SPIN}' & done; wait`;
  await using process = await sandbox.spawn({ argv: ["bash", "-c", script], timeoutMs: 60_000 });
  const [before, started] = [await process.waitedMs(), performance.now()];
  await new Promise((done) => setTimeout(done, 500));
  const after = await process.waitedMs();
  if (before === null || after === null) throw new Error("nobody counts what this sandbox waits");
  return (after - before) / (performance.now() - started);
}

/** Whether this user and this kernel have an account of it. */
async function isCounted(): Promise<boolean> {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "waits" });
  await using process = await sandbox.spawn({ argv: ["sleep", "60"], timeoutMs: 60_000 });
  return (await process.waitedMs()) !== null;
}

const counted = await isCounted();
const why = counted ? "" : " (skipped: nobody counts it for this user, or on this kernel)";

test.skipIf(!counted)(
  `a time-out does not count what the machine withheld, and an endless program ends${why}`,
  async () => {
    await using provider = await openProvider({ tier: "light", home });
    await using sandbox = await provider.open({ image: "host", owner: "waits" });
    using _busy = await busyMachine();
    const timeoutMs = 800;
    const work = `
import time
said = 0
while True:
  used = time.process_time() * 1000
  if used > said + 20:
    said = used
    print(used, flush=True)`;
    const result = await python(sandbox, work, timeoutMs);
    expect(result.timedOut).toBe(true);
    const usedMs = Number(Buffer.from(result.stdout).toString().trim().split("\n").at(-1));
    const mostMs = timeoutMs + mostWithheldMs(timeoutMs);
    // It had what it was promised of a processor, or all the time that may be given for it where others use the machine too.
    if (result.durationMs < mostMs - 100) expect(usedMs).toBeGreaterThan(timeoutMs * 0.5);
    expect(result.durationMs).toBeGreaterThan(timeoutMs + 100);
    expect(result.durationMs).toBeLessThan(mostMs + 5_000);
  },
);

test.skipIf(!counted)(`programs of one sandbox get no more time by waiting for each other${why}`, async () => {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "waits" });
  const one = await shareWaited(sandbox, 1);
  const twelve = await shareWaited(sandbox, 12);
  expect(twelve).toBeLessThan(one + 0.4);
});
