import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Control } from "./attack.ts";
import { type Elsewhere, PAYLOADS } from "./payloads.ts";
import { serverAttacks } from "./server-suite.ts";
import { attacks, type HostileTier, TIERS } from "./suite.ts";

const root = join(import.meta.dirname, "../..");
const START = "<!-- matrix: written by `npx vitest run test/hostile/matrix.test.ts -u` -->";
const END = "<!-- end of matrix -->";

interface Case {
  readonly name: string;
  readonly of: readonly number[];
  readonly control: Control;
}

const ofPayload = <C extends Case>(cases: readonly C[], number: number): C[] =>
  cases.filter(({ of }) => of.includes(number));

/** Payloads without a case, a test elsewhere or a reason; must be empty. */
export const uncovered = (): number[] =>
  Object.entries(PAYLOADS).flatMap(([number, { elsewhere, open }]) => {
    const cases: readonly Case[] = [...attacks, ...serverAttacks];
    const shown = ofPayload(cases, Number(number)).length + (elsewhere?.length ?? 0);
    return shown > 0 || open !== undefined ? [] : [Number(number)];
  });

/** Numbers that cases name and nobody explains; must be empty. */
export const unknown = (): number[] =>
  [...attacks, ...serverAttacks].flatMap(({ of }: Case) => of).filter((number) => PAYLOADS[number] === undefined);

/** Tests named by a payload which their file does not have; must be empty. */
export const missingElsewhere = (): string[] =>
  Object.values(PAYLOADS)
    .flatMap(({ elsewhere }) => elsewhere ?? [])
    .filter(({ file, test }) => !readFileSync(join(root, file), "utf8").includes(test))
    .map(({ file, test }) => `${file}: ${test}`);

class Notes {
  readonly texts: string[] = [];

  mark(text: string): string {
    if (!this.texts.includes(text)) this.texts.push(text);
    return `<sup>${this.texts.indexOf(text) + 1}</sup>`;
  }
}

function tierCell(tier: HostileTier, number: number, notes: Notes): string {
  const cases = ofPayload(attacks, number);
  if (cases.length === 0) return "";
  const excepted = cases.filter(({ name }) => tier.exceptions[name] !== undefined);
  const marks = excepted.map(({ name }) => notes.mark(`${tier.title}, “${name}”: ${tier.exceptions[name]}`));
  return [`${cases.length - excepted.length}`, ...marks].join(" ");
}

function elsewhereCell(elsewhere: readonly Elsewhere[] | undefined): string {
  const files = [...new Set((elsewhere ?? []).map(({ file }) => file))];
  return files
    .map(
      (file) =>
        `[${file
          .split("/")
          .at(-1)
          ?.replace(/(\.test)?\.ts$/, "")}](../${file})`,
    )
    .join(", ");
}

function controlCell(number: number): string {
  const cases: readonly Case[] = [...ofPayload<Case>(attacks, number), ...ofPayload<Case>(serverAttacks, number)];
  const shown = cases.filter(({ control }) => "run" in control).length;
  return cases.length === 0 ? "" : `${shown}/${cases.length}`;
}

/** The table and its notes, from the cases' own data. */
export function matrix(): string {
  const notes = new Notes();
  const tiers = Object.values(TIERS);
  const rows = Object.entries(PAYLOADS).map(([key, { title, elsewhere, open }]) => {
    const number = Number(key);
    const server = ofPayload(serverAttacks, number).length;
    const what = open === undefined ? title : `${title} ${notes.mark(`${title}: ${open}`)}`;
    const cells = [key, what, ...tiers.map((tier) => tierCell(tier, number, notes)), server > 0 ? `${server}` : ""];
    return `| ${[...cells, elsewhereCell(elsewhere), controlCell(number)].join(" | ")} |`;
  });
  const head = ["", "attack", ...tiers.map(({ title }) => title), "server", "elsewhere", "control"];
  return [
    `| ${head.join(" | ")} |`,
    `|${head.map(() => "---").join("|")}|`,
    ...rows,
    "",
    ...notes.texts.map((text, i) => `${i + 1}. ${text}`),
  ].join("\n");
}

/** Cases without a control and why, most said first. */
function withoutControl(): string {
  const reasons = new Map<string, number>();
  for (const { control } of [...attacks, ...serverAttacks] as readonly Case[]) // both are cases
    if ("none" in control) reasons.set(control.none, (reasons.get(control.none) ?? 0) + 1);
  return [...reasons]
    .sort(([a, n], [b, m]) => m - n || a.localeCompare(b))
    .map(([why, n]) => `- ${n} × ${why}`)
    .join("\n");
}

/** The document with its tables written anew. */
export function documentWith(text: string): string {
  const [before = "", rest = ""] = text.split(START);
  const [, after = ""] = rest.split(END);
  const count = `${attacks.length} programs in each of ${Object.keys(TIERS).length} kinds of sandbox and ${serverAttacks.length} clients of the server.`;
  const body = [
    START,
    "",
    count,
    "",
    matrix(),
    "",
    "Attacks that are not tried without the defence:",
    "",
    withoutControl(),
    "",
  ];
  return `${before}${body.join("\n")}\n${END}${after}`;
}
