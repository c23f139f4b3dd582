import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { pack } from "tar-stream";
import { afterEach, expect, test } from "vitest";
import * as z from "zod";
import type { SandboxProvider } from "../../core/sandbox.ts";
import { openProvider } from "../../docker/catalog.ts";
import { probeFolderMounts } from "../../docker/container/folder-mounts.ts";
import { openContainers } from "../../docker/container/open.ts";
import type { ContainerProvider } from "../../docker/container/provider.ts";
import { Engine } from "../../docker/engine.ts";
import { buildLight } from "../../docker/light/build.ts";
import { type ProviderLog, silentLog } from "../../docker/log.ts";
import { codeOf, decode, until } from "../contract/sandbox-tools.ts";
import type { TestEngine } from "../engine.ts";
import { withEngine } from "./with-engine.ts";

const root = join(import.meta.dirname, "../..");
const home = join(root, ".polygym/test");
mkdirSync(home, { recursive: true });
const opened: SandboxProvider[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((provider) => provider.close()));
});

interface TierOptions {
  readonly warm: number;
  readonly callMs?: number;
  readonly runtime?: string;
  readonly log?: ProviderLog;
}

async function openTier(engine: string, options: TierOptions): Promise<ContainerProvider> {
  const provider = await openContainers({ home, binary: await buildLight(home), log: silentLog, engine, ...options });
  opened.push(provider);
  return provider;
}

const openAndClose = async (provider: SandboxProvider): Promise<void> =>
  (await provider.open({ image: "host", owner: "test" })).close();

const names = (engine: TestEngine): Promise<string[]> =>
  new Engine(engine.address).call("list", async (docker) =>
    (await docker.listContainers({ all: true })).map(({ Names }) => Names[0]?.slice(1) ?? ""),
  );

test("says in a typed error where no engine answers, and soon without asking", async () => {
  const provider = await openTier("unix:///run/polygym-no-engine.sock", { warm: 0 });
  const request = { image: "host", owner: "test" };
  for (let i = 0; i < 3; i++) expect(await codeOf(provider.open(request))).toBe("sandbox_unavailable");
  await expect(provider.open(request)).rejects.toThrow(/was not tried/);
  expect((await provider.selfCheck()).mode).toBe("none");
});

await withEngine("tier docker", (engine) => {
  test("hands out a container that waited, once, and fills its place", async () => {
    const provider = await openTier(engine.address, { warm: 1 });
    const first = await provider.open({ image: "host", owner: "test" });
    await provider.settled();
    const there = await names(engine);
    const second = await provider.open({ image: "host", owner: "test" });
    expect(there.some((name) => second.id.endsWith(name))).toBe(true);
    await first.close();
    await provider.settled();
    const third = await provider.open({ image: "host", owner: "test" });
    expect(new Set([first.id, second.id, third.id].map((id) => id.split("-").at(-1))).size).toBe(3);
    expect(await codeOf(first.exec({ argv: ["true"], timeoutMs: 1_000 }))).toBe("sandbox_unavailable");
  });

  test("does not hand out a container that was killed while it waited", async () => {
    const provider = await openTier(engine.address, { warm: 1 });
    const before = await provider.open({ image: "host", owner: "test" });
    await provider.settled();
    const waiting = (await names(engine)).filter((name) => !before.id.endsWith(name));
    const docker = new Engine(engine.address);
    for (const name of waiting) await docker.call("kill", (api) => api.getContainer(name).kill());
    await using sandbox = await provider.open({ image: "host", owner: "test" });
    expect(waiting.length).toBe(1);
    expect((await sandbox.exec({ argv: ["true"], timeoutMs: 5_000 })).exitCode).toBe(0);
  });

  test("reports a container that somebody else removed as lost", async () => {
    const provider = await openTier(engine.address, { warm: 0 });
    const sandbox = await provider.open({ image: "host", owner: "test" });
    const running = codeOf(sandbox.exec({ argv: ["sleep", "60"], timeoutMs: 60_000 }));
    const [name = ""] = await names(engine);
    await new Engine(engine.address).call("remove", (docker) => docker.getContainer(name).remove({ force: true }));
    expect(await running).toBe("sandbox_lost");
    await until("it is forgotten", async () => (await provider.counts()).sandboxes === 0);
  });

  test("removes what a killed process left", async () => {
    const script = `
      const { openProvider } = await import("${root}/docker/catalog.ts");
      const provider = await openProvider({ tier: "docker", home: "${home}", engine: "${engine.address}" });
      await provider.open({ image: "host", owner: "doomed" });
      await provider.settled();
      console.log("open");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    expect((await names(engine)).length).toBe(2);
    child.kill("SIGKILL");
    await once(child, "close");
    const provider = await openProvider({ tier: "docker", home, engine: engine.address });
    opened.push(provider);
    expect(await names(engine)).toEqual([]);
    expect(await provider.reap()).toBe(0);
  });

  test("leaves nothing on the machine when it closes", async () => {
    const provider = await openTier(engine.address, { warm: 2 });
    const base = await (await provider.open({ image: "host", owner: "test" })).freeze();
    await provider.fork(base, 2, { owner: "test" });
    await provider.close();
    expect(await names(engine)).toEqual([]);
    const { stdout } = await promisify(execFile)("ls", ["/run/polygym-docker"]);
    expect(stdout).not.toContain(`p-${process.pid}-`);
  });

  test("opens an image of the engine with its files, variables and volumes under a quota", async () => {
    await importImage(engine, "polygym/tiny", ["ENV GREETING=hello", "VOLUME /data", "WORKDIR /proc/self/fd/7"]);
    const provider = await openTier(engine.address, { warm: 1 });
    await using sandbox = await provider.open({ image: "tiny", owner: "test" });
    const read = await sandbox.read("/workspace/src/a.txt");
    expect(read.ok && decode(read.value)).toBe("from the image");
    expect((await sandbox.write("/workspace/src/a.txt", "changed")).ok).toBe(true);
    expect((await sandbox.write("/data/b", "x")).ok).toBe(true);
    expect((await sandbox.write("/etc/c", "x")).ok).toBe(false);
    const full = await sandbox.write("/data/full", Buffer.alloc(40_000_000));
    expect(full.ok ? "written" : full.error).toBe("no_space");
    const said = await sandbox.exec({ argv: ["/bin/sh", "-c", "echo $GREETING; id -un; pwd"], timeoutMs: 5_000 });
    expect(decode(said.stdout)).toBe("hello\nsandbox\n/workspace\n");
  });

  test("gives each container system folders of its own, and says where an engine cannot", async () => {
    const provider = await openTier(engine.address, { warm: 0 });
    const sandbox = await provider.open({ image: "host", owner: "test" });
    const table = await sandbox.exec({ argv: ["grep", " /usr ", "/proc/self/mountinfo"], timeoutMs: 5_000 });
    expect(decode(table.stdout)).toContain(" - overlay overlay ro,lowerdir=/usr:");
    await sandbox.close();
    expect((await provider.selfCheck()).enforced).toContain("file locks and change notices of its own");
    const docker = new Engine(engine.address);
    expect(await docker.call("list", async (api) => (await api.listVolumes()).Volumes ?? [])).toEqual([]);
    await importImage(engine, "polygym/own", []);
    const { Id: image } = await docker.call("look", (api) => api.getImage("polygym/own").inspect());
    const folders = [{ source: "/usr/bin", target: "/data" }];
    const probe = (empty: string) =>
      probeFolderMounts(docker, { image, labels: {}, host: { folders, empty }, file: "/data/env" });
    expect(await probe(join(home, "tools"))).toBe("own");
    expect(await probe("/absent")).toBe("shared");
    expect(await names(engine)).toEqual([]);
  });

  test("names an image that is not there, and never pulls", async () => {
    const provider = await openTier(engine.address, { warm: 0 });
    await expect(provider.open({ image: "absent", owner: "test" })).rejects.toThrow(/no image absent/);
    await expect(provider.open({ image: "../x y", owner: "test" })).rejects.toThrow(/not an image's name/);
  });

  test("an engine that hangs costs a bounded time and a typed error, and the light tier nothing", async () => {
    const provider = await openTier(engine.address, { warm: 0, callMs: 2_000 });
    const light = await openProvider({ tier: "light", home });
    opened.push(light);
    const held = await provider.open({ image: "host", owner: "test" });
    engine.signal("SIGSTOP");
    try {
      const asked = performance.now();
      const opening = codeOf(provider.open({ image: "host", owner: "test" }));
      const running = held.exec({ argv: ["echo", "on"], timeoutMs: 5_000 });
      await using other = await light.open({ image: "host", owner: "test" });
      expect((await other.exec({ argv: ["true"], timeoutMs: 5_000 })).exitCode).toBe(0);
      expect(decode((await running).stdout)).toBe("on\n");
      expect(performance.now() - asked).toBeLessThan(2_000);
      expect(await opening).toBe("sandbox_unavailable");
      for (let i = 0; i < 2; i++)
        expect(await codeOf(provider.open({ image: "host", owner: "test" }))).toBe("sandbox_unavailable");
      await expect(provider.open({ image: "host", owner: "test" })).rejects.toThrow(/was not tried/);
      await held.close().catch(() => undefined); // its container is removed later
    } finally {
      engine.signal("SIGCONT");
    }
    await until("a sandbox opens", async () => (await codeOf(openAndClose(provider))) === "none", 20_000);
    await provider.reap();
    await until("nothing is left", async () => (await names(engine)).length === 0, 20_000);
  });

  test("says how long a start has waited for its turn, apart from how long it took", async () => {
    const starts: { queuedMs: number; startMs: number }[] = [];
    const Start = z.object({ queuedMs: z.number(), startMs: z.number() });
    const debug = (fields: object): void => void starts.push(Start.parse(fields));
    const provider = await openTier(engine.address, { warm: 0, log: { debug, warn: () => undefined } });
    await Promise.all(Array.from({ length: 6 }, () => openAndClose(provider)));
    expect(starts.length).toBe(6);
    const waited = starts.filter(({ queuedMs }) => queuedMs > 20); // four start at once
    expect(waited.length).toBeGreaterThanOrEqual(2);
    for (const { startMs } of starts) expect(startMs).toBeGreaterThan(20);
  });

  test("names a runtime that the engine has not, and what to do", async () => {
    const provider = await openTier(engine.address, { warm: 0, runtime: "runfast" });
    await expect(provider.open({ image: "host", owner: "test" })).rejects.toThrow(
      /no runtime runfast, it has .*runc.*: add it to "runtimes".*POLYGYM_DOCKER_RUNTIME/,
    );
    expect((await provider.selfCheck()).missing[0]?.what).toContain("no runtime runfast");
  });

  test("works again when a stopped engine is back", async () => {
    const provider = await openTier(engine.address, { warm: 0 });
    await (await provider.open({ image: "host", owner: "test" })).close();
    await engine.end();
    expect(await codeOf(provider.open({ image: "host", owner: "test" }))).toBe("sandbox_unavailable");
    await engine.start();
    await until(
      "a sandbox opens",
      async () => (await codeOf(provider.open({ image: "host", owner: "test" }))) === "none",
      20_000,
    );
  });
});

/** A root with the machine's own shell in it, small and without a network. */
async function importImage(engine: TestEngine, repo: string, changes: readonly string[]): Promise<void> {
  const archive = pack();
  const programs = ["/bin/sh", "/usr/bin/id"];
  const { stdout } = await promisify(execFile)("ldd", programs);
  const files = new Set([...programs, ...(stdout.match(/(?<=\s)\/[^\s:]+(?=\s\()/g) ?? [])]);
  archive.entry({ name: "etc/passwd" }, "root:x:0:0:root:/root:/bin/sh\n");
  archive.entry({ name: "workspace/src/a.txt" }, "from the image");
  for (const link of ["bin", "lib", "lib64"]) archive.entry({ name: link, type: "symlink", linkname: `usr/${link}` });
  for (const file of files)
    archive.entry({ name: `usr/${file.replace(/^\/(usr\/)?/, "")}`, mode: 0o755 }, await readFile(file));
  archive.finalize();
  const tag = "latest";
  await new Engine(engine.address).call("import", async (docker) =>
    text(await docker.importImage(Readable.from(archive), { repo, tag, changes: [...changes] })),
  );
}
