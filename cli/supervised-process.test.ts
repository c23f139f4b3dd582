import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ProcessSpec, SupervisedProcess } from "./supervised-process.ts";
import { until } from "./until.ts";

let folder = "";
let logFile = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polygym-supervised-"));
  logFile = join(folder, "log");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const lines = async (): Promise<string[]> =>
  (await readFile(logFile, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
const soon = (holds: () => Promise<boolean>) =>
  until(holds, { deadlineMs: 20_000, otherwise: () => new Error("did not happen in time") });

async function supervise(
  program: string,
): Promise<{ process: SupervisedProcess; deaths: Parameters<ProcessSpec["onDeath"]>[0][] }> {
  const script = join(folder, "program.mjs");
  await writeFile(script, program);
  const deaths: Parameters<ProcessSpec["onDeath"]>[0][] = [];
  let started = 0;
  const supervised = new SupervisedProcess({
    name: "program",
    script,
    newId: () => `id-${++started}`,
    environment: (id) => ({ ID: id }),
    logFile,
    onDeath: (death) => deaths.push(death),
  });
  await supervised.start();
  return { process: supervised, deaths };
}

const STAYS = "console.log(process.env.ID); setInterval(() => {}, 1000);";

test("a process that is killed is started again under a fresh id, and its death is told at once", async () => {
  const { process: supervised, deaths } = await supervise(STAYS);
  await using _ = supervised;
  await soon(async () => (await lines()).length === 1);
  process.kill(supervised.pid ?? 0, "SIGKILL");
  await soon(async () => (await lines()).length === 2);
  expect(await lines()).toEqual(["id-1", "id-2"]);
  expect(deaths).toEqual([{ id: "id-1", how: "SIGKILL", restartInMs: 100 }]);
});

test("one that keeps dying is started later and later", async () => {
  const { process: supervised, deaths } = await supervise("process.exit(3);");
  await using _ = supervised;
  await soon(async () => deaths.length === 4);
  expect(deaths.map(({ how, restartInMs }) => `${how} ${restartInMs}`)).toEqual([
    "exit 3 100",
    "exit 3 200",
    "exit 3 400",
    "exit 3 800",
  ]);
});

test("stopping asks first, waits for the end, and starts nothing again", async () => {
  const { process: supervised, deaths } = await supervise(
    `${STAYS} process.on("SIGTERM", () => { console.log("asked"); process.exit(0); });`,
  );
  await soon(async () => (await lines()).length === 1);
  const { pid = 0 } = supervised;
  await supervised.stop();
  await supervised.stop();
  expect(await lines()).toEqual(["id-1", "asked"]);
  expect(() => process.kill(pid, 0)).toThrow();
  expect(deaths).toEqual([]);
});

test("stopping while a restart is due starts nothing", async () => {
  const { process: supervised, deaths } = await supervise("console.log(process.env.ID); process.exit(1);");
  await soon(async () => deaths.length === 2);
  await supervised.stop();
  const before = (await lines()).length;
  expect(supervised.pid).toBeUndefined();
  expect((await lines()).length).toBe(before);
});
