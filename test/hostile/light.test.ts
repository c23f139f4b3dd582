import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openProvider } from "../../docker/catalog.ts";
import { runSuite } from "../contract/sandbox-suite.ts";
import { escapeCases } from "./escapes.ts";
import { resourceCases } from "./resources.ts";
import { syscallCases } from "./syscalls.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

runSuite({
  name: "hostile programs, light",
  behaviours: [...syscallCases, ...escapeCases, ...resourceCases],
  exceptions: {},
  open: () => openProvider({ tier: "light", home }),
});
