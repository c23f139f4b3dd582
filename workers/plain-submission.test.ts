import { afterAll, beforeAll, expect, test } from "vitest";
import type { Task } from "../core/task.ts";
import { JudgingLab, type Texts, taskOf, treeOf } from "../test/judging.ts";
import { plainSubmission } from "./plain-submission.ts";

const task = taskOf({
  kind: "function",
  language: "python",
  files: { "solution.py": "old\n", "pkg/part.py": "part\n", "pkg/deep/er.py": "er\n", "run.sh": "#!/bin/sh\n" },
  gold: {},
  verifiers: {},
});

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

const plain = (files: Texts, of: Pick<Task, "files"> = task) =>
  plainSubmission(of, new Map([...treeOf(files)].map(([path, { data }]) => [path, data])));

const samples: readonly Texts[] = [
  {},
  { "solution.py": "new\n" },
  { "solution.py": "old\n" },
  { "solution.py": "", "pkg/part.py": "changed" },
  { "pkg/new.py": "1", "pkg/deep/y/z.py": "é\u0000" },
  { "a/b/c/d.txt": "1", "a/b.txt": "2", "a-b/c": "3", "a/b2/e": "4" },
  { ".hidden": "x", "Solution.py": "y", "-x": "z" },
  { [`${"long/".repeat(30)}name`]: "x" },
];

for (const files of samples) {
  test(`is what a sandbox would export: ${Object.keys(files).join(" ").slice(0, 60) || "nothing"}`, async () => {
    const made = plain(files);
    expect(made).not.toBeNull();
    const exported = await lab.submit(task, { files });
    expect({ ...made, tar: Buffer.from(made?.tar ?? []).toString("base64") }).toEqual({
      ...exported,
      tar: Buffer.from(exported.tar).toString("base64"),
    });
  });
}

test("files keep the mode that the task gives them", () => {
  const executable = { ...task, files: new Map([["run.sh", { data: Buffer.from("1"), mode: 0o755 }]]) };
  expect(plain({ "run.sh": "2" }, executable)?.manifest).toMatchObject([{ path: "run.sh", mode: 0o755 }]);
});

test("what only a sandbox can tell is left to it", () => {
  const unclear: readonly Texts[] = [
    { pkg: "a file in the place of a folder" },
    { "solution.py/x": "a folder in the place of a file" },
    { x: "1", "x/y": "2" },
    { "../x": "" },
    { "/x": "" },
    { "a//b": "" },
    { "a/./b": "" },
    { "new\nline": "" },
    { ü: "" },
    { "": "" },
    { large: "x".repeat(2 ** 20 + 1) },
    Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`f${i}`, ""])),
  ];
  for (const files of unclear) expect([files, plain(files)]).toEqual([files, null]);
});
