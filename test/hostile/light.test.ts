import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { runHostileSuite, TIERS } from "./suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

runHostileSuite(TIERS.light, () => openProvider({ tier: "light", home, warm: 0 }));
