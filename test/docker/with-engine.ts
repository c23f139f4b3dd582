import { afterAll, describe, expect, test } from "vitest";
import { startEngine, type TestEngine } from "../engine.ts";

/** Declares tests that need an engine; where there can be none, one skipped test says why. */
export async function withEngine(
  name: string,
  declare: (engine: TestEngine) => void,
  flags: readonly string[] = [],
): Promise<void> {
  const started = await startEngine(flags);
  if (started.engine) {
    const { engine } = started;
    afterAll(() => engine.stop());
    describe(name, () => declare(engine));
  } else {
    describe.skip(`${name}: ${started.reason}`, () => {
      test("needs an engine", () => expect(started.engine).not.toBeNull());
    });
  }
}
