import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { hostImage } from "../../docker/image-host.ts";
import { SandboxFiles } from "../../docker/light/files.ts";
import { Payload } from "../../docker/light/frames.ts";
import { HostProcess } from "../../docker/light/host-process.ts";
import { boundLimits, mergeLayers, startSandbox } from "../../docker/light/start.ts";
import { lightBinary, OLDER } from "./older-linux.ts";
import { type Behaviour, sandboxBehaviours } from "./sandbox.ts";
import { layerBehaviours } from "./sandbox-layers.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";

/** What of the contract has to do with how layers reach an overlay, with hosts that take this kernel for an older one. */
const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

const NAMES = new Set([
  "answers no_space when the disk is full, and keeps what was there",
  "forks a frozen state into sandboxes that do not see each other",
  "keeps a released state's files for the sandbox that stands on it, also when that is frozen",
  "exports exactly what changed since the base",
  "keeps two sandboxes apart",
  "lets no change of a system folder reach the image",
  "carries system folders through a frozen state",
  "sees its own processes only",
  "reports a sandbox that its own program ended, and can still freeze it",
  "holds no more layers than it needs, however often a sandbox is frozen",
]);
const behaviours: readonly Behaviour[] = [...sandboxBehaviours, ...lightBehaviours, ...layerBehaviours].filter(
  ({ name }) => NAMES.has(name),
);

test("every behaviour that is chosen is there", () => {
  expect(behaviours).toHaveLength(NAMES.size);
});

/** As many as one sandbox may stand on. Their names are more than the 255 bytes that one option of a mount may have. */
const DEEPEST = 128;

for (const kernel of OLDER) {
  const name = `sandbox contract, light as on Linux ${Math.floor(kernel / 1000)}.${kernel % 1000}`;
  const binary = lightBinary(home, String(kernel));
  runSuite({
    name,
    behaviours,
    exceptions: {},
    open: async () => openProvider({ tier: "light", home, binary: await binary }),
  });

  test(`${name}: stacks ${DEEPEST} layers, merges them and takes down all that it mounted`, async () => {
    const host = await HostProcess.start(await binary, [await hostImage({ home })]);
    try {
      const start = (layers: readonly number[]) => startSandbox(host, { image: 0, limits: boundLimits(), layers });
      const mounts = (): number => readFileSync(`/proc/${host.pid}/mountinfo`, "utf8").split("\n").length;
      const before = mounts();
      const layers: number[] = [];
      for (let layer = 1; layer <= DEEPEST; layer++) {
        const sandbox = await start(layers);
        await new SandboxFiles(sandbox.connection).write(`f${layer}`, Buffer.from(`${layer}`), undefined);
        expect(await sandbox.freeze(layer, Number.MAX_SAFE_INTEGER)).not.toBeNull();
        layers.unshift(layer);
      }
      expect(mounts()).toBe(before + DEEPEST);
      await mergeLayers(host, layers, DEEPEST + 1);
      for (const below of [layers, [DEEPEST + 1]]) {
        const sandbox = await start(below);
        const listed = await new SandboxFiles(sandbox.connection).list(".", 1, 1_000);
        expect(listed.ok && listed.value.length).toBe(DEEPEST);
        await sandbox.remove();
      }
      for (const layer of [...layers, DEEPEST + 1]) await host.request("R", new Payload().u32(layer));
      expect(mounts()).toBe(before);
    } finally {
      await host.close();
    }
  });
}
