import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { layerBehaviours } from "./sandbox-layers.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

runSuite({
  name: "sandbox contract, light",
  behaviours: [...sandboxBehaviours, ...lightBehaviours, ...layerBehaviours],
  exceptions: {},
  open: () => openProvider({ tier: "light", home }),
});

runSuite({
  name: "sandbox contract, fake",
  behaviours: sandboxBehaviours,
  exceptions: {},
  open: () => openProvider({ tier: "fake", home }),
});
