import { join } from "node:path";
import { expect, test } from "vitest";
import { FakeProvider } from "../docker/fake/provider.ts";
import { readTaskFolder } from "../environments/tasks/folder.ts";
import { Bases } from "./bases.ts";

const folder = join(import.meta.dirname, "../environments/tasks/demo/leap-year");
/** The fake's image has no interpreters. */
const task = { ...(await readTaskFolder(folder)), runtimes: [] };

test("a base is made once and shared", async () => {
  const bases = new Bases(new FakeProvider());
  using first = await bases.lease(task);
  using second = await bases.lease(task);
  expect(second.snapshot).toBe(first.snapshot);
});

test("a base that was lost with its host is made again", async () => {
  const provider = new FakeProvider();
  const bases = new Bases(provider);
  using lost = await bases.lease(task);
  await provider.release(lost.snapshot);
  using again = await bases.lease(task);
  expect(provider.holds(lost.snapshot)).toBe(false);
  expect(provider.holds(again.snapshot)).toBe(true);
  await (await provider.open({ image: task.image, from: again.snapshot, owner: "test" })).close();
});
