import { describe, expect, test } from "vitest";
import { attacks } from "./suite.ts";

/**
 * The same attacks where nothing holds them: with root's power, without filter or limits, in namespaces that end with the
 * attack. One that does nothing here would show nothing about a sandbox either.
 */
const shown = attacks.flatMap(({ name, control }) => ("run" in control ? [{ name, run: control.run }] : []));
const isRoot = process.geteuid?.() === 0;

test("every attack has a control, or says why there is none", () => {
  for (const { name, control } of attacks)
    if ("none" in control) expect([name, control.none.length > 20]).toEqual([name, true]);
  expect(shown.length).toBeGreaterThan(attacks.length * 0.7);
});

describe.skipIf(!isRoot)(
  isRoot ? "without a sandbox" : "without a sandbox (skipped: only root can do the harm)",
  () => {
    for (const { name, run } of shown) test(`works: ${name}`, run);
  },
);
