import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import { sha256 } from "../../core/ids.ts";
import { taskImageName } from "../../core/images.ts";
import type { Sandbox, SandboxProvider, Submission } from "../../core/sandbox.ts";
import type { Task } from "../../core/task.ts";
import { openProvider } from "../../docker/catalog.ts";
import { EngineCheck } from "../../docker/container/engine-needs.ts";
import { ImageTable } from "../../docker/container/images.ts";
import { Engine } from "../../docker/engine.ts";
import { buildDockerfile } from "../../docker/image-store/build.ts";
import { collectImages } from "../../docker/image-store/collect.ts";
import { buildOne } from "../../docker/image-store/engine-build.ts";
import { leasedImages } from "../../docker/image-store/leases.ts";
import { listRecords, wholeRecord } from "../../docker/image-store/records.ts";
import { findFramework, taskView } from "../../environments/catalog.ts";
import { applyUnifiedDiff } from "../../environments/frameworks/primitives/apply-patch.ts";
import { findVerifier } from "../../verifiers/catalog.ts";
import { judgeSubmission } from "../../verifiers/clean-room/judge-submission.ts";
import { ServerPool } from "../../verifiers/clean-room/server-pool.ts";
import { type BaseLease, Bases } from "../../workers/bases.ts";
import { act, call, openSession, texts } from "../acting.ts";
import { decode } from "../contract/sandbox-tools.ts";
import { type Texts, taskOf, treeOf } from "../judging.ts";
import { importSmall } from "./small-image.ts";
import { withEngine } from "./with-engine.ts";

const home = await mkdtemp(join(tmpdir(), "polygym-workdir-"));
await mkdir(join(home, "tools"));
afterAll(() => rm(home, { recursive: true, force: true }));

const TIERS = ["light", "docker"] as const;
interface TaskFields {
  /** Null: no Dockerfile. */
  readonly dockerfile: string | null;
  readonly workdir?: string | null;
  readonly image?: string;
  /** Beside the Dockerfile, else the task's own. */
  readonly files?: Texts;
}

/** Prints 42, as tests that know the program by its absolute path want it. */
function answerTask({ dockerfile, workdir = null, image = "small", files = {} }: TaskFields): Task {
  const task = taskOf({
    kind: "program",
    language: "shell",
    files: dockerfile === null ? files : {},
    gold: { "answer.sh": "echo 42\n" },
    verifiers: {
      stdio: {
        files: { "cases/one.in": "", "cases/one.out": "42\n" },
        config: { command: ["/bin/bash", `${workdir ?? "/app"}/answer.sh`] },
      },
    },
  });
  const version = sha256(JSON.stringify([dockerfile, workdir, image, files]));
  if (dockerfile === null) return { ...task, version, workdir, image };
  const context = { files: treeOf({ Dockerfile: dockerfile, ...files }), digest: version };
  return { ...task, version, workdir, context, image: taskImageName(context.digest) };
}

await withEngine("working folders", (address) => {
  const engine = new Engine(address.address);
  const servers = new ServerPool();
  const providers = new Map<string, SandboxProvider>();
  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
    for (const provider of providers.values()) await provider.close();
  });

  const providerOf = async (tier: (typeof TIERS)[number]): Promise<SandboxProvider> => {
    const provider = providers.get(tier) ?? (await openProvider({ tier, home, engine: address.address }));
    providers.set(tier, provider);
    return provider;
  };
  beforeAll(() => importSmall(engine));
  const built = async (task: Task): Promise<Task> => {
    if (task.context === null) return task;
    const { files, digest: definition } = task.context;
    const context = { home, name: task.image, onLog: () => undefined };
    await buildDockerfile({ ...context, engine, files, definition, workdir: task.workdir });
    return task;
  };
  /** An image that somebody else made. */
  const other = async (tag: string, lines: string, files: Texts = {}): Promise<string> => {
    const context = treeOf({ Dockerfile: `FROM polygym/small\n${lines}\n`, ...files });
    await buildOne(engine, { files: context, tag }, { home, name: tag, onLog: () => undefined });
    return tag;
  };
  const failureOf = async (work: Promise<unknown>): Promise<string> => {
    const failure = await work.catch((error: unknown) => error);
    return failure instanceof GymError ? `${failure.code}: ${failure.message}` : "none";
  };
  const leaseOf = async (provider: SandboxProvider, task: Task): Promise<BaseLease> =>
    await new Bases(provider, { lease: async () => ({ [Symbol.asyncDispose]: async () => undefined }) }).lease(task);

  interface Lab {
    readonly provider: SandboxProvider;
    readonly task: Task;
    readonly lease: BaseLease;
  }

  /** What an attempt leaves. */
  async function submitted(
    { provider, task, lease }: Lab,
    attempt: (sandbox: Sandbox) => Promise<void>,
  ): Promise<Submission> {
    const sandbox = await provider.open({ image: task.image, from: lease.snapshot, owner: "attempt" });
    await attempt(sandbox);
    const end = await sandbox.freeze();
    const bounds = { root: "/workspace", maxBytes: 1e6, maxEntries: 100 };
    const changes = await provider.export(lease.snapshot, end, bounds);
    await provider.release(end);
    if (!changes.ok) throw new Error(changes.message);
    return changes.value;
  }

  async function judged(
    lab: Lab,
    attempt: (sandbox: Sandbox) => Promise<void>,
  ): Promise<{ score: number; flags: string[] }> {
    const submission = await submitted(lab, attempt);
    const verifier = findVerifier("stdio");
    if (verifier === undefined) throw new Error("stdio is gone");
    const { provider, task, lease } = lab;
    const { score, flags } = await judgeSubmission({
      ...{ provider, servers, task, submission, verifier },
      ...{ base: lease.snapshot, alias: lease.alias, plain: lease.plain, toolsInside: lease.toolsInside },
      ...{ seed: 7, wallMs: 60_000 },
      signal: new AbortController().signal,
    });
    return { score, flags: flags.map(({ name }) => name) };
  }

  const bash = async (sandbox: Sandbox, script: string): Promise<string> =>
    decode((await sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: 20_000, mergeOutput: true })).stdout);

  const wrong = "echo 41\n";
  const inApp = { dockerfile: "FROM polygym/small\nWORKDIR /app\nCOPY answer.sh ./\n", files: { "answer.sh": wrong } };
  const patch = "--- /app/answer.sh\n+++ /app/answer.sh\n@@ -1 +1 @@\n-echo 41\n+echo 42\n";
  const blocks = "/app/answer.sh\n```\n<<<<<<< SEARCH\necho 41\n=======\necho 42\n>>>>>>> REPLACE\n```\n";
  const edit = { command: "str_replace", path: "/app/answer.sh", old_str: "41", new_str: "42" };
  const actions = {
    "mini-swe.toolcall": call("bash", { command: "echo 'echo 42' > /app/answer.sh" }),
    "anthropic.bash-editor": call("str_replace_based_edit_tool", edit),
    "aider.diff": { text: blocks },
  };

  for (const tier of TIERS) {
    test(`edits by the image's own working folder are the attempt, in every framework, on tier ${tier}`, async () => {
      const provider = await providerOf(tier);
      const task = await built(answerTask(inApp));
      using lease = await leaseOf(provider, task);
      const lab = { provider, task, lease };
      expect(lease.alias).toBe("/app");
      const view = taskView(task, lease.alias);
      const solved = Object.entries(actions).map(async ([id, action]) => {
        const framework = findFramework(id);
        if (framework === undefined) throw new Error(`${id} is gone`);
        const verdict = await judged(lab, async (sandbox) => {
          await using session = await openSession(framework, sandbox, { task: view });
          expect([id, texts(session.opening).join()]).toEqual([
            id,
            expect.stringContaining("/workspace (/app is the same folder)"),
          ]);
          await act(session, action);
        });
        expect([id, verdict]).toEqual([id, { score: 1, flags: [] }]);
      });
      await Promise.all(solved);
      const patched = await judged(lab, async (sandbox) => {
        expect(await applyUnifiedDiff(sandbox, patch, { alias: lease.alias })).toMatchObject({ ok: true });
        expect(await bash(sandbox, "pwd; cd /app && cat answer.sh")).toBe("/workspace\necho 42\n");
      });
      expect(patched.score).toBe(1);
      expect((await judged(lab, async () => undefined)).score).toBe(0);
    }, 120_000); // a fresh home looks through the machine's own folders first

    test(`a working folder of task.toml is it for an image without a Dockerfile, on tier ${tier}`, async () => {
      const provider = await providerOf(tier);
      const image = tier === "docker" ? "small" : "host";
      const task = await built(
        answerTask({ dockerfile: null, image, workdir: "/home/user/app", files: { "answer.sh": wrong } }),
      );
      using lease = await leaseOf(provider, task);
      expect(lease.alias).toBe("/home/user/app");
      const lab = { provider, task, lease };
      const verdict = await judged(lab, async (sandbox) => {
        expect(await bash(sandbox, "cd /home/user/app && cat answer.sh && echo 'echo 42' > answer.sh")).toBe(wrong);
      });
      expect(verdict.score).toBe(1);
      expect((await judged(lab, async () => undefined)).score).toBe(0);
    });

    test(`links and files of the image that an attempt makes folders are folders for its judges, on tier ${tier}`, async () => {
      const provider = await providerOf(tier);
      const dockerfile = `FROM polygym/small
WORKDIR /app
RUN mkdir -p /opt/lib && echo 'echo 41' > /opt/lib/n && ln -s /opt/lib lib && echo x > part \\
 && mkdir t && echo x > t/conftest.py && echo '. /app/lib/n' > answer.sh
`;
      const task = await built(answerTask({ dockerfile }));
      using lease = await leaseOf(provider, task);
      const lab = { provider, task, lease };
      const verdict = await judged(lab, async (sandbox) => {
        await bash(sandbox, "rm lib part && mkdir lib part && echo '. /app/part/n' > lib/n && echo 'echo 42' > part/n");
      });
      expect(verdict).toEqual({ score: 1, flags: [] });
      const forged = await judged(lab, async (sandbox) => {
        await bash(
          sandbox,
          "rm -r t; rm lib && mkdir lib && echo 'echo 42' > lib/n && echo '. /opt/lib/n' > answer.sh",
        );
      });
      expect(forged).toEqual({ score: 0, flags: ["protected_path"] });
    });

    test(`what an attempt does to the other name changes nothing for its judges, on tier ${tier}`, async () => {
      const provider = await providerOf(tier);
      const task = await built(answerTask(inApp));
      using lease = await leaseOf(provider, task);
      const lab = { provider, task, lease };
      const replaced = await judged(lab, async (sandbox) => {
        await bash(sandbox, "rm /app && mkdir /app && echo 'echo 42' > /app/answer.sh");
      });
      expect(replaced.score).toBe(0);
      const named =
        "echo x | tee /app/conftest.py /app/package.json 2>/dev/null || for f in conftest.py package.json; do echo x > /app/$f; done";
      const disguised = await judged(lab, async (sandbox) => {
        await bash(sandbox, `${named}; ln -s /app/../etc/passwd /app/out; ln -s /app/answer.sh /app/in`);
      });
      expect(disguised.score).toBe(0);
      expect(disguised.flags.toSorted()).toEqual(["protected_path", "protected_path", "symlink_escape"]);
    });
  }

  test("a working folder in task.toml is stronger than the image's, and the image made so is one of its own", async () => {
    const dockerfile = "FROM polygym/small\nCOPY answer.sh /app/\nCOPY answer.sh /opt/x/other.sh\nWORKDIR /app\n";
    const files = { "answer.sh": wrong };
    const tasks = await Promise.all(
      [null, "/opt/x", "/workspace"].map((workdir) => built(answerTask({ dockerfile, files, workdir }))),
    );
    const records = await Promise.all(tasks.map(({ image }) => wholeRecord(home, image)));
    expect(records.map((record) => record?.workdir)).toEqual(["/app", "/opt/x", null]);
    expect(new Set(records.map((record) => record?.digest)).size).toBe(3);
    const again = await built(answerTask({ dockerfile, files }));
    expect((await wholeRecord(home, again.image))?.digest).toBe(records[0]?.digest);
    for (const tier of TIERS) {
      const provider = await providerOf(tier);
      const script = "ls; [ /workspace -ef /app ] && echo app; [ /workspace -ef /opt/x ] && echo x; true";
      const seen = await Promise.all(
        tasks.map(async (task) => {
          using lease = await leaseOf(provider, task);
          await using sandbox = await provider.open({ image: task.image, from: lease.snapshot, owner: "test" });
          expect(lease.snapshot.imageDigest).toBe((await provider.image(task.image)).digest);
          return await bash(sandbox, script);
        }),
      );
      expect([tier, ...seen]).toEqual([tier, "answer.sh\napp\n", "other.sh\nx\n", ""]);
    }
  });

  test("a folder that the image has files in is moved into the workspace, unless it has some there, too", async () => {
    const dockerfile = "FROM polygym/small\nCOPY a /opt/x/a\nCOPY a /opt/y/b\n";
    const task = await built(answerTask({ dockerfile, files: { a: "a" } }));
    const inWorkspace = await built(answerTask({ dockerfile: `${dockerfile}COPY a /workspace/\n`, files: { a: "a" } }));
    for (const tier of TIERS) {
      const provider = await providerOf(tier);
      await using sandbox = await provider.open({ image: task.image, workdir: "/opt/y", owner: "test" });
      expect([tier, await bash(sandbox, "ls /workspace; ls /opt/x; cat /opt/y/b")]).toEqual([tier, "b\na\na"]);
      const both = provider.open({ image: inWorkspace.image, workdir: "/opt/y", owner: "test" });
      expect([tier, await failureOf(both)]).toEqual([
        tier,
        expect.stringMatching(/^image_failed: .*\/opt\/y.* cannot be the workspace: .*both there and in \/workspace/),
      ]);
    }
  });

  test("folders of every allowed kind are links to the workspace, also where memory or the machine's folders lie", async () => {
    const task = await built(answerTask({ dockerfile: "FROM polygym/small\nCOPY a /srv/a\n", files: { a: "a" } }));
    const script = 'echo said > "$0/new" && cat /workspace/new && rm /workspace/new && ls /workspace';
    const said = async (tier: (typeof TIERS)[number], workdir: string): Promise<string> => {
      const provider = await providerOf(tier);
      const base = await (await provider.open({ image: task.image, workdir, owner: "test" })).freeze();
      await using sandbox = await provider.open({ image: task.image, from: base, owner: "test" });
      const argv = ["bash", "-c", script, workdir];
      const { stdout } = await sandbox.exec({ argv, timeoutMs: 20_000, mergeOutput: true });
      await provider.release(base);
      return decode(stdout);
    };
    for (const tier of TIERS) {
      const folders = ["/root/project", "/usr/src/app", "/var/www/html", "/srv"];
      const all = await Promise.all(folders.map((workdir) => said(tier, workdir)));
      expect([tier, ...all]).toEqual([tier, "said\n", "said\n", "said\n", "said\na\n"]);
    }
    const onHost = (tier: (typeof TIERS)[number]) =>
      providerOf(tier).then((provider) => provider.open({ image: "host", workdir: "/usr/src/app", owner: "test" }));
    await using light = await onHost("light");
    expect(await bash(light, "echo x > /usr/src/app/f; cat f")).toBe("x\n");
    expect(await failureOf(onHost("docker"))).toMatch(
      /^image_failed: image host: \/usr\/src\/app .*\/usr is the machine's own/,
    );
  });

  test("links, modes and hard links of the image's folder are moved as they are", async () => {
    const dockerfile = `FROM polygym/small
RUN mkdir -p /srv/a/sub && cd /srv/a && echo one > one && ln one sub/two && ln -s one three && chmod 750 sub one \\
 && : > void && ln void sub/void && cat /bin/bash > big && ln big sub/big
WORKDIR /srv/a
`;
    const task = await built(answerTask({ dockerfile }));
    for (const tier of TIERS) {
      const provider = await providerOf(tier);
      await using sandbox = await provider.open({ image: task.image, owner: "test" });
      const listed = await sandbox.list("/srv/a", { depth: 2 });
      const seen = listed.ok && listed.value.map(({ path, type, mode }) => [path, type, mode.toString(8)]);
      expect([tier, seen]).toEqual([
        tier,
        [
          ["big", "file", "644"],
          ["one", "file", "750"],
          ["sub", "directory", "750"],
          ["sub/big", "file", "644"],
          ["sub/two", "file", "750"],
          ["sub/void", "file", "644"],
          ["three", "symlink", "777"],
          ["void", "file", "644"],
        ],
      ]);
      const script = 'cat sub/two three && [ ! -s sub/void ] && [ "$(base64 big)" = "$(base64 sub/big)" ] && echo same';
      expect([tier, await bash(sandbox, script)]).toEqual([tier, "one\none\nsame\n"]);
    }
  });

  const build = (dockerfile: string, workdir: string | null = null) =>
    failureOf(built(answerTask({ dockerfile: `FROM polygym/small\n${dockerfile}\n`, workdir, files: { a: "x" } })));
  /** What a build of each must say; the engine builds several at once. */
  const expectBuilds = async (cases: readonly (readonly [string, string | null, RegExp])[]): Promise<void> => {
    const said = await Promise.all(cases.map(([dockerfile, workdir]) => build(dockerfile, workdir)));
    for (const [i, [dockerfile, workdir, expected]] of cases.entries())
      expect([dockerfile, workdir, said[i]]).toEqual([dockerfile, workdir, expect.stringMatching(expected)]);
  };
  const fine = /^none$/;
  const both = "COPY a /workspace/\nCOPY a /app/\nWORKDIR /app";

  test("a working folder that cannot be the workspace is a failure that says why and what to do", () =>
    expectBuilds([
      [both, "/app", /^image_failed: .*environment\.workdir of task\.toml, \/app.*both there and in \/workspace/],
      ["WORKDIR /etc", null, /^image_failed: .*\/etc is the system's.*set environment\.workdir = "\/workspace"/],
      ["WORKDIR /root", null, /^image_failed: .*set programs up/],
      ["RUN ln -s /etc /conf\nWORKDIR /conf/ssh", null, /^image_failed: .*\/etc\/ssh is the system's/],
      ["COPY a /go/src/", "/go", /^image_failed: .*\/go is a toolchain's own/],
      ["ENV HOME=/home/me\nWORKDIR /home/me", null, /^image_failed: .*HOME is \/home\/me/],
      ["VOLUME /app/data\nWORKDIR /app", null, /^image_failed: .*volume at \/app\/data/],
      ["VOLUME /srv/\nWORKDIR /srv/app", null, /^image_failed: .*volume at \/srv/],
      ["VOLUME /workspace\nCOPY a /app/\nWORKDIR /app", null, /^image_failed: .*volume at \/workspace: .*get lost/],
      ["VOLUME /workspace/x\nCOPY a /app/\nWORKDIR /app", null, /^image_failed: .*volume at \/workspace\/x: .*lost/],
      ["COPY a /app/file", "/app/file", /^image_failed: .*is a file in the image/],
    ]));

  test("a folder that need not or cannot be asked for changes nothing", () =>
    expectBuilds([
      [both, "/workspace", fine],
      ["COPY a /workspace/\nWORKDIR /root", null, fine],
      ["WORKDIR /workspace/repo", null, fine],
      ["WORKDIR /", null, fine],
      ["VOLUME /workspace\nWORKDIR /app", null, fine],
      ["COPY a /workspace/app/\nRUN ln -s /workspace/app /app\nWORKDIR /app", null, fine],
      ["COPY a /workspace/\nRUN ln -s /workspace /app\nWORKDIR /app", null, fine],
      ["COPY a /app/\nRUN ln -s /app /workspace\nWORKDIR /app", null, fine],
    ]));

  test("where only the image names the folder, and has files in both, those in /workspace are the task's", async () => {
    const files = { a: "a", b: "b" };
    const lines = "COPY a /workspace/\nCOPY b /app/\nWORKDIR /app\n";
    const golang = "COPY a /go/bin/\nENV GOPATH=/go\nWORKDIR /go\n";
    const linked = "RUN mkdir -p /workspace/src && ln -s /workspace /app\nWORKDIR /app/src\n";
    const tasks = await Promise.all(
      [lines, golang, `${golang}COPY a /workspace/\n`, linked].map((text) =>
        built(answerTask({ dockerfile: `FROM polygym/small\n${text}`, files })),
      ),
    );
    await other("somebody/both", lines, files);
    for (const tier of TIERS) {
      const provider = await providerOf(tier);
      const others = tier === "docker" ? [answerTask({ dockerfile: null, image: "somebody/both" })] : [];
      const seen = await Promise.all(
        [...tasks, ...others].map(async (task) => {
          using lease = await leaseOf(provider, task);
          await using sandbox = await provider.open({ image: task.image, from: lease.snapshot, owner: "test" });
          return [lease.alias, await bash(sandbox, "ls -d * /app/* /go/bin/* 2>/dev/null; readlink src; true")];
        }),
      );
      const expected = [
        [null, "/app/b\na\n"],
        [null, "/go/bin/a\n"],
        [null, "/go/bin/a\na\n"],
        [null, "/app/src\nsrc\n"],
      ];
      expect([tier, ...seen]).toEqual([tier, ...expected, ...others.map(() => [null, "/app/b\na\n"])]);
    }
  });

  const tagsOf = async (prefix: string): Promise<string[]> =>
    (await engine.call("list images", (docker) => docker.listImages()))
      .flatMap(({ RepoTags: tags }) => tags ?? [])
      .filter((tag) => tag.startsWith(prefix))
      .toSorted();

  test("the name of a task's image is never that of an unfinished one, and collecting it frees everything", async () => {
    const before = await tagsOf("polygym/workdir:");
    const make = (task: Task, dockerfile: string, definition: string) =>
      failureOf(
        buildDockerfile({
          ...{ home, name: task.image, onLog: () => undefined, engine, workdir: null },
          ...{ files: treeOf({ Dockerfile: dockerfile, a: "collected" }), definition: sha256(definition) },
        }),
      );
    const task = answerTask({
      dockerfile: "FROM polygym/small\nCOPY a /app/\nWORKDIR /app\n",
      files: { a: "collected" },
    });
    expect(await make(task, "FROM polygym/small\nWORKDIR /etc\n", "bad")).toMatch(/^image_failed/);
    expect(await tagsOf(`polygym/${task.image}`)).toEqual([]);
    await built(task);
    const digest = (await wholeRecord(home, task.image))?.digest ?? "";
    expect(await make(task, "FROM polygym/small\nWORKDIR /etc\n", "bad")).toMatch(/^image_failed/);
    const named = await engine.call("look", (docker) => docker.getImage(`polygym/${task.image}`).inspect());
    expect(named.Id).toBe(digest);
    await rm(join(home, "images", task.image), { recursive: true });
    await built(task);
    expect((await wholeRecord(home, task.image))?.digest).toBe(digest);
    expect(await tagsOf("polygym/unfinished")).toEqual([]);
    expect(await tagsOf("polygym/workdir:")).toEqual(before);
    const { names } = await leasedImages(home);
    const pinned = new Set([...names, ...(await listRecords(home)).map(({ name }) => name)]);
    pinned.delete(task.image);
    const { removed } = await collectImages({ home, engine, pinned, highBytes: 0, lowBytes: 0 });
    expect(removed).toEqual([task.image]);
    const look = engine.call("look", (docker) => docker.getImage(digest).inspect());
    await expect(look).rejects.toThrow(/no such image/i);
  });

  test("an image is read once, however often it is looked up, with and without its working folder", async () => {
    const task = await built(answerTask(inApp));
    const folder = await mkdtemp(join(tmpdir(), "polygym-table-"));
    const place = { engine, folder, labels: {} };
    const table = new ImageTable({ ...place, home, check: new EngineCheck({ ...place, runtime: null }) });
    const [image, same] = await Promise.all([table.get(task.image), table.get(task.image, "/app")]);
    const again = await table.get(image.info.digest);
    expect([same.info, again.info]).toEqual([image.info, { ...image.info, image: image.info.digest }]);
    expect((await readdir(folder)).filter((name) => name.startsWith("seed-"))).toHaveLength(1);
    await rm(folder, { recursive: true });
  });

  test("an image of somebody else's with a working folder is used by it, and only where it can be", async () => {
    const provider = await providerOf("docker");
    const tool = "RUN mkdir -p /code/bin && cp /bin/bash /code/bin/git\nENV PATH=/code/bin:/usr/bin";
    const image = await other("somebody/project", `${tool}\nWORKDIR /code`);
    const { runtimes } = await provider.image(image);
    expect(runtimes).toMatchObject({ bash: { path: "/usr/bin/bash" }, git: { path: "/code/bin/git" } });
    using lease = await leaseOf(provider, answerTask({ dockerfile: null, image }));
    expect([lease.alias, lease.plain, [...lease.toolsInside]]).toEqual(["/code", false, ["git"]]);
    using inWorkspace = await leaseOf(provider, answerTask({ dockerfile: null, image, workdir: "/workspace" }));
    expect([inWorkspace.alias, inWorkspace.plain, [...inWorkspace.toolsInside]]).toEqual([null, true, []]);
    await using sandbox = await provider.open({ image, from: lease.snapshot, owner: "test" });
    expect(await bash(sandbox, "ls /workspace/bin")).toBe("git\n");
    const bad = await other("somebody/rooted", "WORKDIR /etc");
    expect(await failureOf(leaseOf(provider, answerTask({ dockerfile: null, image: bad })))).toMatch(
      /^task_invalid: .*WORKDIR of image somebody\/rooted.*environment\.workdir = "\/workspace"/,
    );
    const filled = answerTask({ dockerfile: null, image: bad, files: { "answer.sh": wrong } });
    using own = await leaseOf(provider, filled);
    expect([own.alias, own.plain]).toEqual([null, true]);
    const there = await other("somebody/there", "RUN mkdir -p /workspace && echo x > /workspace/f");
    using brought = await leaseOf(provider, answerTask({ dockerfile: null, image: there }));
    expect([brought.alias, brought.plain]).toEqual([null, false]);
  });

  test("a program that lies in the working folder is no tool of judges", async () => {
    const dockerfile = `FROM polygym/small
RUN mkdir -p /app/bin && cp /bin/bash /app/bin/bash && cp /bin/bash /app/bin/git \\
 && cp /bin/bash /app/make && ln -s /app/make /usr/bin/make
ENV PATH=/app/bin:/usr/bin:/bin
WORKDIR /app
`;
    const task = await built(answerTask({ dockerfile }));
    for (const tier of TIERS) {
      const { runtimes } = await (await providerOf(tier)).image(task.image);
      expect([tier, runtimes]).toEqual([tier, { bash: { path: "/usr/bin/bash", version: expect.any(String) } }]);
    }
  });
});
