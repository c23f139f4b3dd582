import { afterAll, beforeAll, expect, test } from "vitest";
import { JudgingLab } from "../../test/judging.ts";
import { findRuntimes } from "./runtimes.ts";

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

/** Names of the tools found after a script has changed the image. */
async function foundAfter(script: string): Promise<string[]> {
  await using sandbox = await lab.provider.open({ image: "host", owner: "test" });
  await sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: 20_000 });
  const found = await findRuntimes(sandbox, null);
  for (const { path } of Object.values(found)) expect(path).toMatch(/^\//);
  return Object.keys(found);
}

test("a tool that a link leads into the workspace to is none", async () => {
  expect(await foundAfter(":")).toEqual(expect.arrayContaining(["bash", "python3"]));
  const without = await foundAfter("cp /usr/bin/bash . && ln -sf /workspace/bash /usr/bin/bash");
  expect(without).toContain("python3");
  expect(without).not.toContain("bash");
});

test("an image without a shell has no tools: nobody can say where they lie", async () => {
  expect(await foundAfter("rm /usr/bin/sh")).toEqual([]);
});
