import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimServiceFile, readServiceFile, releaseServiceFile } from "./service-file.ts";

let home = "";
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "polygym-home-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

test("one process has a home; it is free again when that releases it", async () => {
  expect(await claimServiceFile(home, "http://a")).toBe(true);
  expect(await claimServiceFile(home, "http://b")).toBe(false);
  expect(readServiceFile(home)).toEqual({ url: "http://a", pid: process.pid });
  await releaseServiceFile(home);
  expect(await readdir(home)).toEqual([]);
});

test("of several that claim a home at once exactly one gets it", async () => {
  const claims = await Promise.all(Array.from({ length: 8 }, () => claimServiceFile(home, "http://a")));
  expect(claims.filter((claimed) => claimed).length).toBe(1);
});

test("a file of a process that died, or a broken one, holds nobody up", async () => {
  await writeFile(join(home, "service.json"), JSON.stringify({ url: "http://dead", pid: 2 ** 22 + 1 }));
  expect(readServiceFile(home)).toBeNull();
  expect(await claimServiceFile(home, "http://a")).toBe(true);
  await writeFile(join(home, "service.json"), "{");
  expect(await claimServiceFile(home, "http://b")).toBe(true);
});
