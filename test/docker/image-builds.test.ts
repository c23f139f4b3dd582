import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { Engine } from "../../docker/engine.ts";
import { packageBuildMisfit } from "../../docker/image-store/bootstrap.ts";
import { buildImage } from "../../docker/image-store/build.ts";
import { imageSources } from "../../docker/image-store/definitions.ts";
import type { ImageRecord } from "../../docker/image-store/records.ts";
import { withEngine } from "./with-engine.ts";

/** What every image must be able to do beside what `base` can. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  base: ["bash", "git", "make"],
  python: ["python3", "pytest"],
  node: ["node"],
  c: ["gcc", "g++", "make"],
  go: ["go"],
  rust: ["rustc", "cargo"],
  java: ["java"],
  polyglot: ["python3", "pytest", "node", "gcc", "g++", "go", "rustc", "cargo", "java"],
};
/** The largest takes minutes where nothing else runs. */
const BUILD_MS = 15 * 60_000;
const everyImage = process.env.POLYGYM_IMAGES === "all";
/** Image `base` is built by test/e2e/image-building.test.ts in any case. */
const reason = "built only with POLYGYM_IMAGES=all ./polygym test docker/image-builds: some 2 GB from a package mirror";

const home = await mkdtemp(join(tmpdir(), "polygym-builds-"));
await mkdir(join(home, "tools"));
afterAll(() => rm(home, { recursive: true, force: true }));

test("every image has a row that says what it must have", async () => {
  expect((await imageSources()).map(({ name }) => name).sort()).toEqual(Object.keys(TOOLS).sort());
});

async function opens(record: ImageRecord): Promise<void> {
  const { name } = record;
  expect(Object.keys(record.runtimes)).toEqual(expect.arrayContaining([...(TOOLS[name] ?? [])]));
  await using provider = await openProvider({ tier: "light", home });
  await using sandbox = await provider.open({ image: name, owner: "test" });
  const command = "cat /etc/debian_version && id -u && touch kept && ls /usr/share/polygym 2>/dev/null; nproc";
  const said = await sandbox.exec({ argv: ["bash", "-c", command], timeoutMs: 30_000 });
  expect([said.exitCode, Buffer.from(said.stdout).toString().startsWith("12.")]).toEqual([0, true]);
}

function declare(way: string, engine: () => Engine | null, left: () => string | null): void {
  for (const name of Object.keys(TOOLS)) {
    const why = left();
    const title = `image ${name} is built ${way}, opens in the light tier and has its tools`;
    if (why !== null) test.skip(`${title}: ${why}`, () => undefined);
    else
      test(
        title,
        async () => {
          const log: string[] = [];
          const build = { home, name, engine: engine(), onLog: (line: string) => log.push(line) };
          const record = await buildImage(build).catch((error: unknown) => {
            throw new Error(`${String(error)}\n${log.slice(-30).join("\n")}`);
          });
          await opens(record);
          const again = await buildImage(build);
          expect([again.createdAt, log.at(-1)]).toEqual([record.createdAt, `image ${name} is as defined`]);
        },
        BUILD_MS,
      );
  }
}

const misfit = packageBuildMisfit();
declare(
  "from packages",
  () => null,
  () => misfit ?? (everyImage ? null : reason),
);

if (everyImage)
  await withEngine("with an engine", (address) => {
    declare(
      "by the engine",
      () => new Engine(address.address),
      () => null,
    );
  });
else
  declare(
    "by the engine",
    () => null,
    () => reason,
  );
