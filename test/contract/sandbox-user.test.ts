import { rm } from "node:fs/promises";
import { afterAll } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { becomeOrdinaryUser } from "./ordinary-user.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { forwardBehaviours } from "./sandbox-forward.ts";
import { layerBehaviours } from "./sandbox-layers.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";
import { terminalBehaviours } from "./sandbox-terminal.ts";

/** The same contract without root. */
const { home, binary } = await becomeOrdinaryUser();
afterAll(() => rm(home, { recursive: true, force: true }));

runSuite({
  name: "sandbox contract, light as an ordinary user",
  behaviours: [
    ...sandboxBehaviours,
    ...lightBehaviours,
    ...layerBehaviours,
    ...terminalBehaviours,
    ...forwardBehaviours,
  ],
  exceptions: {},
  open: () => openProvider({ tier: "light", home, binary }),
});
