import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { startEngine } from "../engine.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { forwardBehaviours } from "./sandbox-forward.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";
import { terminalBehaviours } from "./sandbox-terminal.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });
const started = await startEngine();

if (started.engine) {
  const { engine } = started;
  afterAll(() => engine.stop());
  runSuite({
    name: "sandbox contract, docker",
    behaviours: [...sandboxBehaviours, ...lightBehaviours, ...terminalBehaviours, ...forwardBehaviours],
    exceptions: {},
    open: () => openProvider({ tier: "docker", home, engine: engine.address }),
  });
} else {
  describe.skip(`sandbox contract, docker: ${started.reason}`, () => {
    test("needs an engine", () => expect(started.engine).not.toBeNull());
  });
}
