import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../cli/free-port.ts";
import { RunningCommand, root, run } from "./command.ts";

/** The service that the README's first command starts; its other blocks talk to it, as a reader's do. */
const FIRST = "./polygym demo\n";
/** Not run from here: it would run this file again. */
const NOT_RUN = ["./polygym test\n"];
const DEMO_DEADLINE_MS = 480_000;
const BLOCK_DEADLINE_MS = 240_000;

interface Block {
  readonly language: string;
  readonly text: string;
}

const readme = await readFile(join(root, "README.md"), "utf8");
const blocks: Block[] = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({
  language,
  text,
}));
const interpreters: Readonly<Record<string, (text: string) => string[]>> = {
  bash: (text) => ["bash", "-c", text],
  python: (text) => ["python3", "-c", text],
  js: (text) => [process.execPath, "--input-type=module", "--eval", text],
};
const examples: readonly (Block & { readonly file: string })[] = await Promise.all(
  [
    ["bash", "curl.sh"],
    ["python", "episode.py"],
    ["js", "episode.mjs"],
  ].map(async ([language = "", file = ""]) => ({
    language,
    file,
    text: await readFile(join(root, "examples", file), "utf8"),
  })),
);

let home = "";
let environment: Record<string, string> = {};
let demo: RunningCommand | null = null;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "polygym-readme-"));
  const port = await freePort("127.0.0.1", 0, { orAny: true });
  environment = { POLYGYM_HOME: home, POLYGYM_PORT: String(port) };
  demo = new RunningCommand(["bash", "-c", `exec ${FIRST}`], { env: environment });
  const [, url = ""] = await demo.prints(/^up at (\S+);/m, DEMO_DEADLINE_MS);
  const token = (await readFile(join(home, "token"), "utf8")).trim();
  environment = { ...environment, POLYGYM_URL: url, POLYGYM_TOKEN: token };
}, DEMO_DEADLINE_MS + 10_000);

afterAll(async () => {
  await demo?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const execute = ({ language, text }: Block) =>
  run(interpreters[language]?.(text) ?? [], { env: environment, timeoutMs: BLOCK_DEADLINE_MS });

test("the README's code is what is checked here", () => {
  expect(blocks.filter((block) => !(block.language in interpreters))).toEqual([]);
  expect(blocks.map((block) => block.text)).toContain(FIRST);
  expect(blocks.map((block) => block.text)).toEqual(expect.arrayContaining(NOT_RUN));
  expect(blocks.length).toBeGreaterThanOrEqual(8);
});

test("each example is printed in the README as it is", () => {
  for (const { file, language, text } of examples)
    expect(
      blocks.some((block) => block.language === language && block.text === text),
      file,
    ).toBe(true);
});

test.each(blocks.filter(({ text }) => text !== FIRST && !NOT_RUN.includes(text)))(
  "runs as printed: $text",
  async (block) => {
    const { exitCode, stdout, stderr } = await execute(block);
    // A cheat that earns nothing is what `run --policy cheat` should show: exit 0 all the same.
    expect(exitCode, stdout + stderr).toBe(0);
  },
  BLOCK_DEADLINE_MS,
);

test.each(examples)("$file ends with reward 1", async (example) => {
  const { stdout, stderr } = await execute(example);
  expect(stdout, stderr).toMatch(/reward"?[ :]+1\b/);
});

test.concurrent.each(examples)("$file ends with reward 1 when a step takes 12 s", async (example) => {
  const slow = example.text.replace(/(command ?= ?")/, "$1sleep 12; ");
  expect(slow).not.toBe(example.text);
  const { stdout, stderr } = await execute({ ...example, text: slow });
  expect(stdout, stderr).toMatch(/reward"?[ :]+1\b/);
});

test("the demo's table is right in every cell", async () => {
  const printed = await demo?.prints(/^(\d+) cells, (\d+) episodes failed by us, (\d+) sandboxes left/m, 1_000);
  expect(Number(printed?.[1])).toBeGreaterThan(20);
  expect(printed?.slice(2, 4)).toEqual(["0", "0"]);
});
