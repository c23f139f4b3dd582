import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { startPodman } from "../podman.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { runSuite } from "./sandbox-suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });
const started = await startPodman();

if (started.engine) {
  const { engine } = started;
  afterAll(() => engine.stop());
  runSuite({
    name: "sandbox contract, docker over Podman",
    behaviours: sandboxBehaviours,
    exceptions: {
      "answers no_space when the file quota is used up":
        "Podman's memory file systems take no bound of files; memory and size bound them",
    },
    open: () => openProvider({ tier: "docker", home, engine: engine.address }),
  });
} else {
  console.warn(`no Podman for these tests: ${started.reason}`);
  describe.skip(`sandbox contract, docker over Podman: ${started.reason}`, () => {
    test("needs Podman", () => expect(started.engine).not.toBeNull());
  });
}
