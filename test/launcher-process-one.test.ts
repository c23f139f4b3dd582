import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RunningCommand, root, run } from "./command.ts";

let home = "";
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "polygym-one-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const canUnshare = process.getuid?.() === 0;
const asProcessOne = (...args: string[]) => ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...args];
const launcher = join(root, "polygym");

test.runIf(canUnshare)("as process 1 the launcher hands on the exit code", async () => {
  const { exitCode } = await run(asProcessOne(launcher, "solve"), { env: { POLYGYM_HOME: home } });
  expect(exitCode).toBe(2);
});

test.runIf(canUnshare)("as process 1 it collects orphans and ends in order when asked", async () => {
  const env = { POLYGYM_HOME: home, POLYGYM_PORT: "0", POLYGYM_WORKERS: "1" };
  await using service = new RunningCommand(asProcessOne(launcher, "up"), { env });
  const [, url = ""] = await service.prints(/^up at (\S+);/m, 90_000);
  expect((await fetch(`${url}/health/live`)).status).toBe(200);
  const children = await readFile(`/proc/${service.child.pid}/task/${service.child.pid}/children`, "utf8");
  const one = children.trim();
  const inside = (script: string) => run(["nsenter", "--target", one, "--pid", "--mount", "sh", "-c", script]);
  // An orphan of the new process 1, which ends at once.
  await inside("(cat </dev/null &) ; exit 0");
  const states = async () => (await inside("grep -h ^State: /proc/[0-9]*/status")).stdout;
  await expect.poll(states, { timeout: 10_000 }).not.toContain("zombie");
  expect(await states()).toContain("sleeping");
  process.kill(Number(one), "SIGTERM");
  const { exitCode, stderr } = await service.finished;
  expect(stderr).toContain("stopping");
  expect(exitCode).toBe(0);
});
