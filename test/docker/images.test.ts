import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { GymError } from "../../core/errors.ts";
import type { FileTree } from "../../core/task.ts";
import { openProvider } from "../../docker/catalog.ts";
import { Engine } from "../../docker/engine.ts";
import { adoptImage, buildDockerfile } from "../../docker/image-store/build.ts";
import { collectImages } from "../../docker/image-store/collect.ts";
import { definitionOfChain, imageChain, imageSources } from "../../docker/image-store/definitions.ts";
import { buildOne } from "../../docker/image-store/engine-build.ts";
import { leaseImage } from "../../docker/image-store/leases.ts";
import { type ImageRecord, listRecords, saveRecord, wholeRecord } from "../../docker/image-store/records.ts";
import { codeOf, decode } from "../contract/sandbox-tools.ts";
import { withEngine } from "./with-engine.ts";

const home = await mkdtemp(join(tmpdir(), "polygym-images-"));
await mkdir(join(home, "tools"));
afterAll(() => rm(home, { recursive: true, force: true }));

test("every image of ours has a Dockerfile that installs its list over the image below", async () => {
  const sources = await imageSources();
  expect(sources.map(({ name }) => name)).toEqual(["base", "python", "node", "c", "go", "rust", "java", "polyglot"]);
  for (const source of sources) {
    const dockerfile = await readFile(join(source.folder, "Dockerfile"), "utf8");
    expect(dockerfile).toContain("COPY packages.txt");
    expect(dockerfile).toContain(source.from === null ? "ARG BASE=debian:" : `ARG BASE=polygym/${source.from}\n`);
    expect(source.packages.length).toBeGreaterThan(1);
  }
  expect((await imageChain("polyglot")).map(({ name }) => name)).toEqual(["base", "python", "polyglot"]);
  expect(await codeOf(imageChain("cobol"))).toBe("sandbox_unavailable");
});

test("a definition is another one when a package or a Dockerfile of it, or of an image below it, changes", async () => {
  const chain = await imageChain("python");
  const [base, python] = chain;
  if (!base || !python) throw new Error("python stands on base");
  const same = definitionOfChain(await imageChain("python"));
  expect(definitionOfChain(chain)).toBe(same);
  expect(definitionOfChain([{ ...base, packages: [...base.packages, "zsh"] }, python])).not.toBe(same);
  expect(definitionOfChain([base, { ...python, dockerfile: "FROM scratch" }])).not.toBe(same);
});

const GIB = 1024 ** 3;

/** A home with images of a gibibyte each, the first used longest ago. */
async function homeWith(names: readonly string[]): Promise<string> {
  const own = await mkdtemp(join(tmpdir(), "polygym-images-"));
  for (const [i, name] of names.entries()) {
    const path = join(own, "images", name, "a".repeat(16), "rootfs");
    await mkdir(path, { recursive: true });
    const record: ImageRecord = {
      name,
      digest: `sha256:${String(i).repeat(64)}`,
      definition: null,
      createdAt: 1,
      source: "packages",
      layers: [{ path, bytes: GIB }],
      path: "/bin",
      workdir: null,
      runtimes: {},
      pin: null,
    };
    await saveRecord(own, record);
    await utimes(join(own, "images", name, "used"), i + 1, i + 1);
  }
  return own;
}

const namesOf = async (own: string): Promise<string[]> => (await listRecords(own)).map(({ name }) => name);
const watermarks = { engine: null, highBytes: 3 * GIB, lowBytes: 2 * GIB };

test("layers that no image uses are removed, and an image without its layers is not listed", async () => {
  const own = await homeWith(["c", "go"]);
  await mkdir(join(own, "images/c", "b".repeat(16), "rootfs"), { recursive: true });
  await rm(join(own, "images/go", "a".repeat(16)), { recursive: true });
  expect(await namesOf(own)).toEqual(["c"]);
  await collectImages({ ...watermarks, home: own, pinned: new Set() });
  expect([
    existsSync(join(own, "images/c/aaaaaaaaaaaaaaaa")),
    existsSync(join(own, "images/c/bbbbbbbbbbbbbbbb")),
  ]).toEqual([true, false]);
  await rm(own, { recursive: true });
});

test("below the high watermark nothing is removed; above it the least recently used go until the low one", async () => {
  const own = await homeWith(["one", "two", "three", "four"]);
  expect((await collectImages({ ...watermarks, highBytes: 4 * GIB, home: own, pinned: new Set() })).removed).toEqual(
    [],
  );
  const done = await collectImages({ ...watermarks, home: own, pinned: new Set() });
  expect(done).toEqual({ removed: ["one", "two"], bytesBefore: 4 * GIB, bytesAfter: 2 * GIB });
  expect(await namesOf(own)).toEqual(["four", "three"]);
  expect(existsSync(join(own, "images/one/aaaaaaaaaaaaaaaa"))).toBe(false);
  await rm(own, { recursive: true });
});

test("an image that a process uses or an episode stands on is kept, however long ago it was used", async () => {
  const own = await homeWith(["one", "two", "three", "four"]);
  const lease = await leaseImage(own, "one");
  await utimes(join(own, "images/one/used"), 1, 1);
  const options = { ...watermarks, home: own, lowBytes: 0, pinned: new Set(["two"]) };
  expect((await collectImages(options)).removed).toEqual(["three", "four"]);
  await lease[Symbol.asyncDispose]();
  expect((await collectImages({ ...options, highBytes: 0 })).removed).toEqual(["one"]);
  expect(await codeOf(leaseImage(own, "one"))).toBe("sandbox_unavailable");
  await rm(own, { recursive: true });
});

test("a lease of a process that has died holds nothing", async () => {
  const own = await homeWith(["one"]);
  const script = `
    const { leaseImage } = await import("${join(import.meta.dirname, "../../docker/image-store/leases.ts")}");
    await leaseImage(${JSON.stringify(own)}, "one");`;
  await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  expect(
    (await collectImages({ ...watermarks, highBytes: 0, lowBytes: 0, home: own, pinned: new Set() })).removed,
  ).toEqual(["one"]);
  await rm(own, { recursive: true });
});

await withEngine("images of an engine", (address) => {
  const engine = new Engine(address.address);

  const files = (texts: Readonly<Record<string, string>>): FileTree =>
    new Map(Object.entries(texts).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o644 }]));
  const log: string[] = [];
  const context = (name: string) => ({ home, name, onLog: (line: string) => log.push(line) });
  const definition = `sha256:${"d".repeat(64)}`;

  test("an image that the engine built opens in both tiers, and its layers cannot be removed", async () => {
    const tiny = files({
      Dockerfile: "FROM scratch\nCOPY . /\nCOPY workspace/kept.txt /workspace/again.txt\nENV A=b\n",
      "workspace/kept.txt": "kept",
      "removed.txt": "secret tests",
    });
    const id = await buildOne(engine, { files: tiny, tag: "polygym/tiny" }, context("tiny"));
    expect(log.join("\n")).toContain("COPY workspace/kept.txt");
    const record = await adoptImage(engine, home, { reference: "polygym/tiny", name: "tiny" });
    expect([record.digest, record.layers.length]).toEqual([id, 2]);
    await expect(engine.call("remove", (docker) => docker.getImage(id).remove())).rejects.toThrow(/conflict/i);
    for (const tier of ["light", "docker"] as const) {
      await using provider = await openProvider({ tier, home, engine: address.address });
      await using sandbox = await provider.open({ image: "tiny", owner: "test" });
      const read = await sandbox.read("again.txt");
      expect([tier, read.ok && decode(read.value)]).toEqual([tier, "kept"]);
      expect((await sandbox.write("again.txt", "changed")).ok).toBe(true);
      expect((await provider.image("tiny")).digest).toBe(id);
    }
  }, 180_000); // a fresh home looks through the machine's own folders first

  test("an image that is built while a light tier is open is seen by it", async () => {
    await using provider = await openProvider({ tier: "light", home });
    expect(await codeOf(provider.open({ image: "task-late", owner: "test" }))).toBe("sandbox_unavailable");
    const own = files({ Dockerfile: "FROM scratch\nCOPY a.txt /workspace/a.txt\n", "a.txt": "late" });
    const build = { ...context("task-late"), engine, files: own, definition, workdir: null };
    const record = await buildDockerfile(build);
    await using sandbox = await provider.open({ image: "task-late", owner: "test" });
    const read = await sandbox.read("a.txt");
    expect(read.ok && decode(read.value)).toBe("late");
    const base = await sandbox.freeze();
    expect(base.imageDigest).toBe(record.digest);
    const [fork] = await provider.fork(base, 1, { owner: "test" });
    expect((await fork?.read("a.txt"))?.ok).toBe(true);
    await fork?.close();
    await provider.release(base);
    expect((await buildDockerfile({ ...build, files: files({}) })).digest).toBe(record.digest);
  });

  test("a Dockerfile that fails, takes too long or names a base that is not there is a typed failure that says so", async () => {
    const build = async (text: string, limits?: { memoryBytes: number; timeoutMs: number }): Promise<string> => {
      const one = { files: files({ Dockerfile: text }), tag: "polygym/broken", ...(limits ? { limits } : {}) };
      const failure = await buildOne(engine, one, context("broken")).catch((error: unknown) => error);
      return failure instanceof GymError ? `${failure.code}: ${failure.message}` : "built";
    };
    expect(await build("FROM scratch\nCOPY absent /\n")).toMatch(/^image_failed: .*absent/);
    expect(await build("FROM nowhere.invalid/none:1\n")).toMatch(/^image_failed: .*cannot be pulled: load it/);
    expect(await build("FROM scratch\nCOPY ../../etc/shadow /\n")).toMatch(/^image_failed/);
    expect(await build("no Dockerfile at all")).toMatch(/^image_failed/);
    expect(await build("FROM polygym/tiny\nCOPY Dockerfile /\n", { memoryBytes: 2 ** 28, timeoutMs: 0 })).toMatch(
      /^image_failed: .*no end within/,
    );
  });

  test("collection removes an image of the engine with its pin, and none that somebody uses", async () => {
    const lease = await leaseImage(home, "tiny");
    const options = { home, engine, pinned: new Set<string>(), highBytes: 0, lowBytes: 0 };
    expect((await collectImages(options)).removed).toContain("task-late");
    expect(await wholeRecord(home, "tiny")).not.toBeNull();
    await lease[Symbol.asyncDispose]();
    expect((await collectImages(options)).removed).toEqual(["tiny"]);
    const images = await engine.call("list", (docker) => docker.listImages());
    expect(images.flatMap(({ RepoTags }) => RepoTags ?? []).filter((tag) => tag.startsWith("polygym/tiny"))).toEqual(
      [],
    );
  });
});
