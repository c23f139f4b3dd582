import { chownSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { sandboxBehaviours } from "./sandbox.ts";
import { lightBehaviours } from "./sandbox-light.ts";
import { runSuite } from "./sandbox-suite.ts";

/** The same contract without root. This file's process gives up root for good; each test file has its own process. */
const NOBODY = 65_534;
const home = mkdtempSync(join(tmpdir(), "polygym-user-"));
if (process.geteuid?.() === 0) {
  chownSync(home, NOBODY, NOBODY);
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}
afterAll(() => rm(home, { recursive: true, force: true }));

runSuite({
  name: "sandbox contract, light as an ordinary user",
  behaviours: [...sandboxBehaviours, ...lightBehaviours],
  exceptions: {},
  open: () => openProvider({ tier: "light", home }),
});
