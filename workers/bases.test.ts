import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FakeProvider } from "../docker/fake/provider.ts";
import { readTaskFolder } from "../environments/tasks/folder.ts";
import { JudgingLab, type TaskParts, taskOf } from "../test/judging.ts";
import { findVerifier } from "../verifiers/catalog.ts";
import { judgeSubmission } from "../verifiers/clean-room/judge-submission.ts";
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

let lab: JudgingLab;
beforeAll(async () => {
  lab = await JudgingLab.open();
});
afterAll(() => lab[Symbol.asyncDispose]());

const parts = { kind: "program", language: "shell", files: {}, gold: {}, verifiers: {} } satisfies TaskParts;
const opened = async (setup: string | undefined, workdir: string | null = null) =>
  await new Bases(lab.provider, images).lease({
    ...taskOf(setup === undefined ? parts : { ...parts, setup }),
    workdir,
  });

test("the other name of a workspace is told where it is one, and not where the setup has put something else there", async () => {
  using plain = await opened(undefined, "/app");
  expect(plain).toMatchObject({ alias: "/app", plain: true });
  for (const setup of ["echo x >f; true", "rm /app && ln -s /workspace /app"]) {
    using named = await opened(setup, "/app");
    expect(named.alias).toBe("/app");
  }
  for (const setup of ["rm /app && mkdir /app", "rm /app", "rm /app && mkdir x && ln -s /workspace/x /app"]) {
    using other = await opened(setup, "/app");
    expect(other.alias).toBeNull();
    await using sandbox = await lab.provider.open({ image: "host", from: other.snapshot, owner: "test" });
    expect(await sandbox.list("/workspace")).toMatchObject({ value: setup.includes("mkdir x") ? [{ path: "x" }] : [] });
  }
});

test("tools that a base leads through its workspace, by whatever links, are told", async () => {
  const { runtimes } = await lab.provider.image("host");
  expect(runtimes.bash?.path).toBe("/usr/bin/bash");
  const leads = [
    "mkdir .venv && cp /usr/bin/bash .venv/bash && ln -sf /workspace/.venv/bash /usr/bin/bash",
    "ln -s /usr/bin/dash sh && ln -sf ../../app/sh /usr/bin/bash",
    "mkdir -p /opt/a && ln -s /opt/a way && cp /usr/bin/bash /opt/a/bash && ln -s /workspace/way /opt/way && ln -sf /opt/way/bash /usr/bin/bash",
  ];
  for (const setup of leads) {
    using base = await opened(setup, "/app");
    expect([setup, [...base.toolsInside]]).toEqual([setup, ["bash"]]);
    await expect(
      new Bases(lab.provider, images).lease({ ...taskOf({ ...parts, setup }), workdir: "/app", runtimes: ["bash"] }),
    ).rejects.toMatchObject({ code: "runtime_missing" });
  }
  using elsewhere = await opened(
    "cp /usr/bin/bash /opt/bash && ln -sf /opt/bash /usr/bin/bash && ln -s /opt/bash bash",
  );
  expect([...elsewhere.toolsInside]).toEqual([]);
});

test("a program that the submission could have put in the place of an interpreter is not run to judge it", async () => {
  const setup = "mkdir bin && cp /usr/bin/python3 bin/ && ln -sf /workspace/bin/python3 /usr/bin/python3";
  const hidden = { "test_hidden.py": "", "expected.json": '["test_hidden.py::test_it"]' };
  const verifiers = { tests: { files: hidden, config: { mode: "in-process", runner: "pytest", paths: ["t"] } } };
  const task = taskOf({ ...parts, kind: "repository", language: "python", verifiers, setup });
  const [submission, verifier] = [await lab.submit(task, { files: { "bin/python3": "mine" } }), findVerifier("tests")];
  if (verifier === undefined) throw new Error("tests is gone");
  using lease = await new Bases(lab.provider, images).lease(task);
  const { snapshot: base, alias, plain, toolsInside } = lease;
  const { provider, servers } = lab;
  const judged = judgeSubmission({
    ...{ provider, servers, task, base, alias, plain, toolsInside, submission, verifier },
    ...{ seed: 7, wallMs: 20_000, signal: new AbortController().signal },
  });
  await expect(judged).rejects.toMatchObject({ code: "runtime_missing" });
});
