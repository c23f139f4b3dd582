import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { runSuite } from "../contract/sandbox-suite.ts";
import { startEngine } from "../engine.ts";
import { escapeCases } from "./escapes.ts";
import { resourceCases } from "./resources.ts";
import { syscallCases } from "./syscalls.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });
const started = await startEngine();

if (started.engine) {
  const { engine } = started;
  afterAll(() => engine.stop());
  runSuite({
    name: "hostile programs, docker",
    behaviours: [...syscallCases, ...escapeCases, ...resourceCases],
    exceptions: {
      "refuses x32 numbers": "the engine's filter ends such a program at once, which is stricter than an error",
      "sees no host path in its mount table": "an engine's mounts name the folder and the disk that they come from",
      "makes no device node and reads no disk": "the nodes are refused; the list differs by /dev/mqueue, its own",
      "finds no system folder of the kernel":
        "an engine mounts /sys read-only; what is masked in it: container-options.ts",
      "locks its namespaces without a neighbour noticing":
        "containers have the engine's user and time namespace, and no engine closes /proc/*/ns: two siblings can signal",
      "killing everything ends the killer's commands, not the sandbox":
        "a command cannot even reach its supervisor: it has another id, so only the command's own processes end",
      "killing its supervisor wins a program no time": "the kill is refused, and the time-out ends it",
    },
    open: () => openProvider({ tier: "docker", home, engine: engine.address }),
  });
} else {
  describe.skip(`hostile programs, docker: ${started.reason}`, () => {
    test("needs an engine", () => expect(started.engine).not.toBeNull());
  });
}
