import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { lightBinary } from "../contract/older-linux.ts";
import { runHostileSuite, TIERS } from "./suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

runHostileSuite(TIERS.light, async () =>
  openProvider({ tier: "light", home, binary: await lightBinary(home), warm: 0 }),
);
