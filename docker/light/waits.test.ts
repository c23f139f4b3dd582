import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Sandbox } from "../../core/sandbox.ts";
import { openProvider } from "../catalog.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

/** Programs of the machine on each core: a sandbox gets a third of it. */
const BESIDE = 2;
const SPIN = "while True: pass";
const PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"];

/** Keeps every core busy outside of all sandboxes. */
function busyMachine(): Disposable {
  const children: ChildProcess[] = [];
  for (let core = 0; core < cpus().length; core++)
    for (let i = 0; i < BESIDE; i++)
      children.push(spawn("taskset", ["-c", String(core), ...PYTHON, SPIN], { stdio: "ignore" }));
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

const root = process.getuid?.() === 0;
const why = root ? "" : " (skipped: an ordinary user has no account of it)";

test.skipIf(!root)(`a time-out does not count what the machine withheld${why}`, async () => {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "waits" });
  using _busy = busyMachine();
  const work = "import time\nwhile time.process_time() < 0.5: pass\nprint('done')";
  const result = await python(sandbox, work, 1_000);
  expect([Buffer.from(result.stdout).toString(), result.timedOut]).toEqual(["done\n", false]);
  expect(result.durationMs).toBeGreaterThan(1_000);
});

test.skipIf(!root)(`an endless program ends, whatever the machine withholds${why}`, async () => {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "waits" });
  using _busy = busyMachine();
  const result = await python(sandbox, SPIN, 500);
  expect(result.timedOut).toBe(true);
  expect(result.durationMs).toBeGreaterThan(750);
  expect(result.durationMs).toBeLessThan(2_500);
});

test.skipIf(!root)(`programs of one sandbox get no more time by waiting for each other${why}`, async () => {
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: "host", owner: "waits" });
  const one = await shareWaited(sandbox, 1);
  const twelve = await shareWaited(sandbox, 12);
  expect(twelve).toBeLessThan(one + 0.4);
});
