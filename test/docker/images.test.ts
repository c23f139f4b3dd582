import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { Engine } from "../../docker/engine.ts";
import { adoptImage, collectImages, listImages } from "../../docker/image-store/build.ts";
import { imageChain, imageSources } from "../../docker/image-store/definitions.ts";
import { buildOne } from "../../docker/image-store/engine-build.ts";
import { saveRecord } from "../../docker/image-store/records.ts";
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

test("layers that no image uses are removed, and an image without its layers is not listed", async () => {
  const own = await mkdtemp(join(tmpdir(), "polygym-images-"));
  const layer = (name: string): string => join(own, "images/c", name.padEnd(16, "0"), "rootfs");
  await mkdir(layer("a"), { recursive: true });
  await mkdir(layer("b"), { recursive: true });
  const record = {
    digest: `sha256:${"0".repeat(64)}`,
    createdAt: 1,
    source: "packages",
    path: "/bin",
    runtimes: {},
    pin: null,
  } as const;
  await saveRecord(own, { ...record, name: "c", lowers: [layer("a")] });
  await saveRecord(own, { ...record, name: "go", lowers: [layer("gone")] });
  expect((await listImages(own)).map(({ name }) => name)).toEqual(["c"]);
  expect(await collectImages(own)).toEqual([join(own, "images/c", "b".padEnd(16, "0"))]);
  expect([existsSync(layer("a")), existsSync(layer("b"))]).toEqual([true, false]);
  await rm(own, { recursive: true });
});

await withEngine("images of an engine", (address) => {
  const engine = new Engine(address.address);

  test("an image that the engine built opens in both tiers, and its layers cannot be removed", async () => {
    const folder = join(home, "context");
    await mkdir(join(folder, "workspace"), { recursive: true });
    await writeFile(join(folder, "workspace/kept.txt"), "kept");
    await writeFile(join(folder, "removed.txt"), "secret tests");
    await cp("/bin/true", join(folder, "workspace/old"));
    await writeFile(
      join(folder, "Dockerfile"),
      "FROM scratch\nCOPY . /\nCOPY workspace/kept.txt /workspace/again.txt\nENV A=b\n",
    );
    const log: string[] = [];
    const options = { home, name: "tiny", onLog: (line: string) => log.push(line) };
    const id = await buildOne(engine, { folder, tag: "polygym/tiny" }, options);
    expect(log.join("\n")).toContain("COPY workspace/kept.txt");
    const record = await adoptImage(engine, home, { reference: "polygym/tiny", name: "tiny" });
    expect([record.digest, record.lowers.length]).toEqual([id, 2]);
    await expect(engine.call("remove", (docker) => docker.getImage(id).remove())).rejects.toThrow(/conflict/i);
    for (const tier of ["light", "docker"] as const) {
      await using provider = await openProvider({ tier, home, engine: address.address });
      await using sandbox = await provider.open({ image: "tiny", owner: "test" });
      const read = await sandbox.read("again.txt");
      expect([tier, read.ok && decode(read.value)]).toEqual([tier, "kept"]);
      expect((await sandbox.write("again.txt", "changed")).ok).toBe(true);
      expect((await provider.image("tiny")).digest).toBe(id);
    }
  });

  test("a build that fails says what failed", async () => {
    const folder = join(home, "broken");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "Dockerfile"), "FROM scratch\nCOPY absent /\n");
    const built = buildOne(engine, { folder, tag: "polygym/broken" }, { home, name: "broken", onLog: () => undefined });
    await expect(built).rejects.toThrow(/absent/);
  });
});
