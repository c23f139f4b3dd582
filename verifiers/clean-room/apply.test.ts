import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sandbox } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import { type Attempt, JudgingLab, type Texts, taskOf, treeOf } from "../../test/judging.ts";
import { applyOverlay, applyPlan } from "./apply.ts";
import { planSubmission } from "./path-policy.ts";

/** Submissions on bases that have more than their task's files. What an image brings, a setup brings here. */

const withSetup = (setup: string, parts: { files?: Texts; allowedProtected?: readonly string[] } = {}): Task =>
  taskOf({
    kind: "program",
    language: "shell",
    files: parts.files ?? {},
    gold: {},
    verifiers: {
      stdio: { files: { "cases/one.in": "", "cases/one.out": "right\n" }, config: { command: ["/opt/venv/bin/tool"] } },
    },
    allowedProtected: parts.allowedProtected ?? [],
    setup,
  });

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

const told = async (sandbox: Sandbox, script: string): Promise<string> => {
  const argv = ["bash", "-c", script];
  const { stdout } = await sandbox.exec({ argv, timeoutMs: 20_000, mergeOutput: true });
  return Buffer.from(stdout).toString();
};

/** What a script prints where a submission has been put on a fresh base, and the flags. */
async function applied(task: Task, attempt: Attempt, look: string, overlay?: Texts) {
  const submission = await lab.submit(task, attempt);
  const plan = planSubmission(submission, task);
  await using sandbox = await lab.provider.open({ image: task.image, from: await lab.base(task), owner: "test" });
  const flags = await applyPlan(sandbox, { plan, task, root: "/workspace", plain: task.setup === null });
  const links = plan.items.flatMap(({ type, path }) => (type === "symlink" ? [path] : []));
  if (overlay !== undefined) await applyOverlay(sandbox, { files: treeOf(overlay), links, plain: false });
  return { said: await told(sandbox, look), flags: [...plan.flags, ...flags].map(({ detail }) => detail) };
}

const venv = `mkdir -p /opt/venv/bin && printf '#!/bin/sh\\necho wrong\\n' >/opt/venv/bin/tool && chmod +x /opt/venv/bin/tool && ln -s /opt/venv .venv`;
const forged = `rm .venv && mkdir -p .venv/bin && printf '#!/bin/sh\\necho right\\n' >.venv/bin/tool && chmod +x .venv/bin/tool`;

test("a folder in the place of a link that leaves the workspace changes nothing outside of it", async () => {
  const task = withSetup(venv);
  expect((await lab.judge(task, { script: forged }, "stdio")).score).toBe(0);
  expect(
    await applied(task, { script: forged }, "/opt/venv/bin/tool; .venv/bin/tool; [ -L .venv ] || echo real"),
  ).toEqual({
    said: "wrong\nright\nreal\n",
    flags: [],
  });
});

test("so it is deep below other folders, for folders that are empty, and for one that has nothing but links", async () => {
  const setup =
    "mkdir -p /opt/o/sub a/b && echo o >/opt/o/f && for l in deep empty links; do ln -s /opt/o a/b/$l; done";
  const script =
    "cd a/b && rm * && mkdir -p deep/sub/x empty links/sub && echo n | tee deep/f deep/sub/x/y && chmod 700 empty && ln -s ../deep/f links/f";
  const look =
    "find /opt/o -type f -o -type l | sort; cat /opt/o/f; cd a/b; find . -mindepth 1 -type l; find . -type f | sort; stat -c %a empty";
  expect((await applied(withSetup(setup), { script }, look)).said).toBe(
    "/opt/o/f\no\n./links/f\n./deep/f\n./deep/sub/x/y\n700\n",
  );
});

test("a file in the place of a link is a file of its own, and one of two hard links is not the other", async () => {
  const setup =
    "echo old >/opt/f && ln -s /opt/f link && ln -s /opt/none dangling && echo old >one && ln one two && ln one /opt/three";
  const script = "for f in link dangling one; do rm $f; echo new >$f; done";
  const look = "cat /opt/f two /opt/three link dangling one; ls /opt/none; find . -type l";
  expect((await applied(withSetup(setup), { script }, look)).said).toBe(
    "old\nold\nold\nnew\nnew\nnew\nls: cannot access '/opt/none': No such file or directory\n",
  );
});

test("files, folders and links take each other's place", async () => {
  const setup =
    "echo f >file && mkdir -p dir/sub && echo f >dir/sub/f && ln -s dir link && echo g >file2 && mkdir dir2 && ln -s file link2";
  const script =
    "rm -r file dir link file2 dir2 link2; mkdir -p file/sub && echo n >file/sub/f && echo n >dir && mkdir link && ln -s dir file2 && ln -s file dir2 && echo n >link2";
  const look = "find . -mindepth 1 -printf '%p %y %l\\n' | sort";
  expect(await applied(withSetup(setup), { script }, look)).toEqual({
    said: "./dir f \n./dir2 l file\n./file d \n./file/sub d \n./file/sub/f f \n./file2 l dir\n./link d \n./link2 f \n",
    flags: [],
  });
});

test("what is deleted is gone, and a deleted link takes nothing with it", async () => {
  const setup = "mkdir -p /opt/o dir/sub && echo f | tee /opt/o/f dir/sub/f keep && ln -s /opt/o link && ln -s dir in";
  expect((await applied(withSetup(setup), { script: "rm -r dir link" }, "ls -1; cat /opt/o/f")).said).toBe(
    "in\nkeep\nf\n",
  );
});

test("protected files that the image brings stay when their folder is deleted or replaced", async () => {
  const setup =
    "mkdir -p t/sub u v/w && echo b | tee t/conftest.py t/a.py t/sub/x.py u/conftest.py u/a.py v/w/conftest.py v/b.py";
  const script = "rm -r t u v && echo mine >u && ln -s . v";
  const look = "find . -type f -o -type l | sort";
  expect(await applied(withSetup(setup), { script }, look)).toEqual({
    said: "./t/conftest.py\n./u/a.py\n./u/conftest.py\n./v/b.py\n./v/w/conftest.py\n",
    flags: ["t/conftest.py (deleted)", "u", "v"],
  });
  const allowed = withSetup(setup, { allowedProtected: ["**/conftest.py"] });
  expect(await applied(allowed, { script }, look)).toEqual({ said: "./u\n./v\n", flags: [] });
});

test("a folder does not take the place of a protected file, of the task or of the image", async () => {
  const script = "rm conftest.py && mkdir -p conftest.py/sub && echo mine >conftest.py/sub/f";
  const tasks = [
    withSetup("echo base >conftest.py"),
    withSetup(":", { files: { "conftest.py": "base\n" } }),
    { ...withSetup("", { files: { "conftest.py": "base\n" } }), setup: null },
  ];
  for (const task of tasks)
    expect(await applied(task, { script }, "cat conftest.py")).toEqual({
      said: "base\n",
      flags: ["conftest.py", "conftest.py/sub", "conftest.py/sub/f"],
    });
});

test("trusted files are not led away by links of the submission or of the image", async () => {
  const setup =
    "mkdir hidden && echo mine >solution && ln -s ../solution hidden/test && ln -s /opt/out out && mkdir sub";
  const script = "rmdir sub && ln -s hidden sub";
  const look = "cat solution hidden/test sub/other out; ls /opt/out 2>/dev/null; [ -L sub ] || echo real";
  const overlay = { "hidden/test": "trusted\n", "sub/other": "other\n", out: "out\n" };
  expect((await applied(withSetup(setup), { script }, look, overlay)).said).toBe("mine\ntrusted\nother\nout\nreal\n");
});
