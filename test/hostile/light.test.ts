import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { lightBinary, linux } from "../contract/older-linux.ts";
import { exceptionsOn, runHostileSuite, TIERS } from "./suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

const tier = { ...TIERS.light, exceptions: exceptionsOn(linux()) };
runHostileSuite(tier, async () => openProvider({ tier: "light", home, binary: await lightBinary(home), warm: 0 }));
