import { afterAll, beforeAll, expect, test } from "vitest";
import { sha256 } from "../../core/ids.ts";
import type { Submission } from "../../core/sandbox.ts";
import { JudgingLab, taskOf } from "../../test/judging.ts";
import type { WorkerDeps } from "../deps.ts";
import { blobOf } from "./ending.ts";
import { restoreWorkspace } from "./workspace.ts";

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

const storeWith = (changes: Submission): WorkerDeps =>
  ({ store: { blob: async () => Buffer.from(JSON.stringify(blobOf(changes))) } }) as unknown as WorkerDeps;

test("files, folders and links that took each other's place are back in a fresh sandbox, and nothing else has changed", async () => {
  const setup =
    "mkdir -p /opt/o/sub dir/sub dir2 && echo o | tee /opt/o/f /opt/o/sub/f file file2 dir/sub/f dir2/f && ln -s /opt/o link && ln -s /opt/o/f link2 && ln file2 hard";
  const script =
    "rm -r file dir dir2 link link2 && mkdir -p file/sub link/sub && echo new | tee file/sub/f dir link/f link/sub/f link2 file2 && ln -s file dir2 && rm hard && echo hard >hard";
  const look =
    "find . /opt/o -mindepth 1 -printf '%p %y %l\\n' | sort; find . /opt/o -type f | sort | xargs head -v -n 9";
  const task = taskOf({ kind: "program", language: "shell", files: {}, gold: {}, verifiers: {}, setup });
  const from = await lab.base(task);
  const opened = () => lab.provider.open({ image: task.image, from, owner: "test" });
  const said = async (sandbox: Awaited<ReturnType<typeof opened>>, text: string) =>
    Buffer.from((await sandbox.exec({ argv: ["bash", "-c", text], timeoutMs: 20_000 })).stdout).toString();
  const worked = await opened();
  const before = await said(worked, `{ ${script}; } >/dev/null; ${look}`);
  const end = await worked.freeze();
  const changes = await lab.provider.export(from, end, { root: "/", maxBytes: 1e6, maxEntries: 1000 });
  await lab.provider.release(end);
  if (!changes.ok) throw new Error(changes.message);
  await using fresh = await opened();
  await restoreWorkspace(storeWith(changes.value), fresh, sha256(""));
  expect(before).toContain("./dir2 l file\n");
  expect(await said(fresh, look)).toBe(before);
});
