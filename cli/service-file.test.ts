import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EXIT } from "./exit-codes.ts";
import { claimServiceFile, readServiceFile, releaseServiceFile } from "./service-file.ts";

let home = "";
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "polygym-home-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

test("one process has a home; it is free again when that releases it", async () => {
  expect(claimServiceFile(home, "http://a")).toBe(true);
  expect(claimServiceFile(home, "http://b")).toBe(false);
  expect(readServiceFile(home)).toEqual({ url: "http://a", pid: process.pid });
  await releaseServiceFile(home);
  expect(await readdir(home)).toEqual(["service.lock"]);
});

test("of several processes that claim a home at once, after one that died, exactly one gets it", async () => {
  await writeFile(join(home, "service.json"), JSON.stringify({ url: "http://dead", pid: 2 ** 22 + 1 }));
  const program = `
    import { claimServiceFile } from ${JSON.stringify(join(import.meta.dirname, "service-file.ts"))};
    console.log("ready");
    process.stdin.once("data", () => console.log(claimServiceFile(${JSON.stringify(home)}, "http://a")));
    `;
  const claimants = Array.from({ length: 6 }, () =>
    spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["pipe", "pipe", "inherit"] }),
  );
  const ends = Promise.all(claimants.map((claimant) => once(claimant, "exit")));
  const say = async (claimant: (typeof claimants)[number]) => {
    const died = once(claimant, "exit").then(() => "died");
    return String(await Promise.race([once(claimant.stdout, "data"), died])).trim();
  };
  try {
    expect(await Promise.all(claimants.map(say))).toEqual(Array(6).fill("ready"));
    const answers = Promise.all(claimants.map(say));
    for (const { stdin } of claimants) stdin.write("go\n");
    expect((await answers).toSorted()).toEqual(["false", "false", "false", "false", "false", "true"]);
  } finally {
    for (const claimant of claimants) claimant.kill("SIGKILL");
    await ends;
  }
});

test("a home whose claim is held up by another has that other's", async () => {
  using other = new DatabaseSync(join(home, "service.lock"));
  other.exec("BEGIN EXCLUSIVE");
  expect(claimServiceFile(home, "http://a")).toBe(false);
  other.exec("ROLLBACK");
  expect(claimServiceFile(home, "http://a")).toBe(true);
});

test("a home whose lock cannot be opened says which file it is and what to do", async () => {
  await mkdir(join(home, "service.lock"));
  expect(() => claimServiceFile(home, "http://a")).toThrow(
    expect.objectContaining({ message: expect.stringContaining(join(home, "service.lock")), exitCode: EXIT.failed }),
  );
});

test("a file of a process that died, or a broken one, holds nobody up", async () => {
  await writeFile(join(home, "service.json"), JSON.stringify({ url: "http://dead", pid: 2 ** 22 + 1 }));
  expect(readServiceFile(home)).toBeNull();
  expect(claimServiceFile(home, "http://a")).toBe(true);
  await writeFile(join(home, "service.json"), "{");
  expect(claimServiceFile(home, "http://b")).toBe(true);
});
