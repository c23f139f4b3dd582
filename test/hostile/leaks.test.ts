import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { lightBinary } from "../contract/older-linux.ts";
import { leftovers } from "../contract/sandbox-host.ts";
import { codeOf, decode, until } from "../contract/sandbox-tools.ts";
import { above, countAll, runCycles } from "./cycles.ts";

/** Nothing of a sandbox outlives its owner, however the owner dies. */
const root = join(import.meta.dirname, "../..");
const home = join(root, ".polygym/test");
mkdirSync(home, { recursive: true });
const binary = await lightBinary(home);
const gone = (): boolean => Object.values(leftovers()).every((count) => count === 0);
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
});

const OWNER = `
import { openProvider } from "${join(root, "docker/catalog.ts")}";
const provider = await openProvider({ tier: "light", home: "${home}", binary: "${binary}" });
const opened = await Promise.all(Array.from({ length: 5 }, () => provider.open({ image: "host", owner: "leak" })));
const marks = opened.map((one) => one.spawn({ argv: ["bash", "-c", "setsid sleep 31337 & echo up; sleep 31337"], timeoutMs: 600000, onOutput: () => console.log("up") }));
await Promise.all(marks);
`;

/** A worker with five busy sandboxes; answers its native host's pid, too. */
async function startOwner(): Promise<{ child: ChildProcess; host: number; sweeper: number }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", OWNER], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await until("five sandboxes run", () => said.split("up").length > 5, 40_000);
  const host = childOf(child.pid ?? 0);
  return { child, host, sweeper: childOf(host, "light-sweeper") };
}

function childOf(parent: number, name?: string): number {
  for (const pid of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const comm = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      const from = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
      const program = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0];
      const found = name ? comm === name || program === name : comm.startsWith("light-");
      if (from === String(parent) && found) return Number(pid);
    } catch {
      // ended meanwhile
    }
  }
  throw new Error(`no native process below ${parent}`);
}

function sleepers(): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === "sleep\x0031337\0";
    } catch {
      return false;
    }
  }).length;
}

test("a killed worker leaves no sandbox", async () => {
  const { child } = await startOwner();
  expect(sleepers()).toBeGreaterThanOrEqual(5);
  child.kill("SIGKILL");
  await until("everything is gone", () => sleepers() === 0 && gone());
});

test("a killed native host leaves no sandbox", async () => {
  const { child, host } = await startOwner();
  process.kill(host, "SIGKILL");
  await until("everything is gone", () => sleepers() === 0 && gone());
  child.kill("SIGKILL");
});

test("reap frees what is left when worker, host and sweeper are killed at once", async () => {
  const { child, host, sweeper } = await startOwner();
  for (const pid of [sweeper, host, child.pid ?? 0]) process.kill(pid, "SIGKILL");
  await until("the processes are gone", () => sleepers() === 0);
  await using provider = await openProvider({ tier: "light", home, binary });
  await provider.reap();
  await until("everything is gone", gone);
});

test("a killed native host is reported as a loss, and the next sandbox starts another", async () => {
  await using provider = await openProvider({ tier: "light", home, binary });
  const sandbox = await provider.open({ image: "host", owner: "leak" });
  const base = await (await provider.open({ image: "host", owner: "leak" })).freeze();
  const running = codeOf(sandbox.exec({ argv: ["sleep", "60"], timeoutMs: 60_000 }));
  process.kill(childOf(process.pid), "SIGKILL");
  expect(await running).toBe("sandbox_lost");
  expect(provider.holds(base)).toBe(false);
  await sandbox.close();
  await using next = await provider.open({ image: "host", owner: "leak" });
  expect(decode((await next.exec({ argv: ["echo", "on"], timeoutMs: 10_000 })).stdout)).toBe("on\n");
});

test("a sandbox whose first process is killed from outside is lost, and can still be frozen", async () => {
  await using provider = await openProvider({ tier: "light", home, binary });
  const sandbox = await provider.open({ image: "host", owner: "leak" });
  await sandbox.write("kept", "work");
  const running = codeOf(sandbox.exec({ argv: ["sleep", "60"], timeoutMs: 60_000 }));
  process.kill(childOf(childOf(process.pid), "agent"), "SIGKILL");
  expect(await running).toBe("sandbox_lost");
  const snapshot = await sandbox.freeze();
  await using again = await provider.open({ image: "host", from: snapshot, owner: "leak" });
  const read = await again.read("kept");
  expect(read.ok && decode(read.value)).toBe("work");
});

/** More by `POLYGYM_CYCLES=10000 ./polygym test hostile/leaks`; a seed repeats a run. */
const CYCLES = Number(process.env.POLYGYM_CYCLES ?? 300);
const SEED = Number(process.env.POLYGYM_SEED ?? 1);
const CYCLES_MS = 120_000 + CYCLES * 100;

test(
  `${CYCLES} sandboxes with crashes of every kind leave every count where it was (seed ${SEED})`,
  async () => {
    const provider = await openProvider({ tier: "light", home, binary, warm: 0 }); // those that wait would hold descriptors
    await runCycles({ provider, count: 60, seed: SEED + 1 }); // what the first ones load stays
    await using keep = await provider.open({ image: "host", owner: "leak" });
    await keep.close();
    await until("the host is idle", async () => (await countAll()).agents === 0, 30_000);
    const before = await countAll();
    const fates = await runCycles({ provider, count: CYCLES, seed: SEED });
    expect(await provider.counts()).toEqual({ sandboxes: 0, snapshots: 0, snapshotBytes: 0 });
    await using last = await provider.open({ image: "host", owner: "leak" }); // starts a host where the last one was killed
    await last.close();
    let now = before;
    const isBack = async (): Promise<boolean> => {
      now = await countAll();
      return Object.keys(above(before, now)).length === 0;
    };
    await until("every count is back", isBack, 60_000).catch((error: unknown) => {
      throw new Error(`${JSON.stringify(above(before, now))} above ${JSON.stringify(before)}`, { cause: error });
    });
    console.log(JSON.stringify({ cycles: CYCLES, seed: SEED, fates, before, now }));
    await provider.close();
    await until("everything is gone", gone);
  },
  CYCLES_MS,
);
