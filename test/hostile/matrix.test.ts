import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { documentWith, missingElsewhere, uncovered, unknown } from "./matrix.ts";
import { serverAttacks } from "./server-suite.ts";
import { attacks, TIERS } from "./suite.ts";

const document = join(import.meta.dirname, "../../docs/sandbox-security.md");

test("every attack that is known has a case, a test elsewhere, or a reason", () => {
  expect(uncovered()).toEqual([]);
  expect(unknown()).toEqual([]);
  expect(missingElsewhere()).toEqual([]);
});

test("names of cases are one of a kind, and exceptions name cases", () => {
  const names = [...attacks, ...serverAttacks].map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { exceptions } of Object.values(TIERS))
    for (const name of Object.keys(exceptions)) expect(names).toContain(name);
});

test("the matrix in the documents is that of the cases", async () => {
  await expect(documentWith(readFileSync(document, "utf8"))).toMatchFileSnapshot(document);
});
