import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { startEngine } from "../engine.ts";
import { runHostileSuite, TIERS } from "./suite.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });
const started = await startEngine();

if (started.engine) {
  const { engine } = started;
  afterAll(() => engine.stop());
  runHostileSuite(TIERS.docker, () => openProvider({ tier: "docker", home, engine: engine.address }));
} else {
  describe.skip(`hostile programs, docker: ${started.reason}`, () => {
    test("needs an engine", () => expect(started.engine).not.toBeNull());
  });
}
