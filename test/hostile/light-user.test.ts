import { rm } from "node:fs/promises";
import { afterAll } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { becomeOrdinaryUser } from "../contract/ordinary-user.ts";
import { runSuite } from "../contract/sandbox-suite.ts";
import { escapeCases } from "./escapes.ts";
import { resourceCases } from "./resources.ts";
import { syscallCases } from "./syscalls.ts";

/** The same programs without root. */
const { home, binary } = await becomeOrdinaryUser();
afterAll(() => rm(home, { recursive: true, force: true }));

runSuite({
  name: "hostile programs, light as an ordinary user",
  behaviours: [...syscallCases, ...escapeCases, ...resourceCases],
  exceptions: {
    "inotify, pipes and message queues run out for this sandbox only":
      "all sandboxes of an ordinary user share that user's kernel allowances",
  },
  open: () => openProvider({ tier: "light", home, binary }),
});
