import { chownSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { runSuite } from "../contract/sandbox-suite.ts";
import { escapeCases } from "./escapes.ts";
import { resourceCases } from "./resources.ts";
import { syscallCases } from "./syscalls.ts";

/** The same programs without root. This file's process gives up root for good; each test file has its own process. */
const NOBODY = 65_534;
const home = mkdtempSync(join(tmpdir(), "polygym-hostile-"));
if (process.geteuid?.() === 0) {
  chownSync(home, NOBODY, NOBODY);
  process.setgroups?.([]);
  process.setgid?.(NOBODY);
  process.setuid?.(NOBODY);
}
afterAll(() => rm(home, { recursive: true, force: true }));

runSuite({
  name: "hostile programs, light as an ordinary user",
  behaviours: [...syscallCases, ...escapeCases, ...resourceCases],
  exceptions: {
    "inotify, pipes and message queues run out for this sandbox only":
      "all sandboxes of an ordinary user share that user's kernel allowances",
  },
  open: () => openProvider({ tier: "light", home }),
});
