import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { lightBinary } from "./older-linux.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { forwardBehaviours } from "./sandbox-forward.ts";
import { layerBehaviours } from "./sandbox-layers.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";
import { noTerminals, terminalBehaviours } from "./sandbox-terminal.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

runSuite({
  name: "sandbox contract, light",
  behaviours: [
    ...sandboxBehaviours,
    ...lightBehaviours,
    ...layerBehaviours,
    ...terminalBehaviours,
    ...forwardBehaviours,
  ],
  exceptions: {},
  open: async () => openProvider({ tier: "light", home, binary: await lightBinary(home) }),
});

runSuite({
  name: "sandbox contract, fake",
  behaviours: [...sandboxBehaviours, ...terminalBehaviours],
  exceptions: noTerminals,
  open: () => openProvider({ tier: "fake", home }),
});
