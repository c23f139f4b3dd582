import { join } from "node:path";
import { expect, test } from "vitest";
import { FakeProvider } from "../docker/fake/provider.ts";
import { readTaskFolder } from "../environments/tasks/folder.ts";
import { Bases } from "./bases.ts";

const folder = join(import.meta.dirname, "../environments/tasks/demo/leap-year");
/** The fake's image has no interpreters. */
const task = { ...(await readTaskFolder(folder)), runtimes: [] };

const images = { lease: async () => ({ [Symbol.asyncDispose]: async () => undefined }) };

test("a base is made once and shared", async () => {
  const bases = new Bases(new FakeProvider(), images);
  using first = await bases.lease(task);
  using second = await bases.lease(task);
  expect(second.snapshot).toBe(first.snapshot);
});

test("a base that was lost with its host is made again", async () => {
  const provider = new FakeProvider();
  const bases = new Bases(provider, images);
  using lost = await bases.lease(task);
  await provider.release(lost.snapshot);
  using again = await bases.lease(task);
  expect(provider.holds(lost.snapshot)).toBe(false);
  expect(provider.holds(again.snapshot)).toBe(true);
  await (await provider.open({ image: task.image, from: again.snapshot, owner: "test" })).close();
});

test("a base keeps its image until nothing has used it for long", async () => {
  const held: string[] = [];
  const counting = {
    lease: async ({ image }: Pick<typeof task, "image">) => {
      held.push(image);
      return { [Symbol.asyncDispose]: async () => void held.pop() };
    },
  };
  const bases = new Bases(new FakeProvider(), counting);
  const lease = await bases.lease(task);
  await bases.tend(Date.now() + 3_600_000);
  expect(held).toEqual(["host"]);
  lease[Symbol.dispose]();
  await bases.tend();
  expect(held).toEqual(["host"]);
  await bases.tend(Date.now() + 3_600_000);
  expect(held).toEqual([]);
});
