import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root, run } from "./command.ts";

let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "polygym-cli-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const polygym = (...args: string[]) =>
  run([process.execPath, join(root, "cli/main.ts"), ...args], {
    env: { POLYGYM_HOME: home, POLYGYM_URL: undefined, POLYGYM_TOKEN: undefined, POLYGYM_REDIS_URL: undefined },
  });

const COMMANDS = [
  "demo",
  "up",
  "worker",
  "doctor",
  "run",
  "episode",
  "why",
  "top",
  "queue",
  "import",
  "validate",
  "bench",
  "token",
  "test",
];

test("--help lists every command and the exit codes", async () => {
  const { exitCode, stdout } = await polygym("--help");
  expect(exitCode).toBe(0);
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}[ |]`, "m"));
  expect(stdout).toContain("7 nothing matched");
});

const BENCHES = ["server", "verify", "episodes", "chaos", "sandbox"].map((name) => `bench ${name}`);
const SUBCOMMANDS = ["episode events", "token create", "worker drain", "worker resume", "queue pause"];

test.each([...COMMANDS, ...SUBCOMMANDS, ...BENCHES])("%s --help explains itself", async (command) => {
  const { exitCode, stdout } = await polygym(...command.split(" "), "--help");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(new RegExp(`^Usage: polygym ${command}[ |]`));
});

const misuses: readonly [string, string, RegExp][] = [
  ["an unknown command", "solve", /unknown command 'solve'/],
  ["an unknown option", "demo --twice", /unknown option '--twice'/],
  ["a policy that does not exist", "run demo/* --policy clever", /Allowed choices are gold, nothing, cheat/],
  ["a port that is no number", "up --port high", /must be 0 to 65535/],
  ["no attempts", "run demo/* -k 0", /must be 1 to 1000/],
  ["a missing argument", "validate", /missing required argument 'glob'/],
  ["a token without a role", "token create", /required option '--role <role>'/],
  ["a role that does not exist", "token create --role king", /Allowed choices are viewer/],
  ["a worker without a Redis", "worker", /needs the service's Redis/],
  ["a file that does not exist", "import humaneval /nowhere.gz", /cannot read \/nowhere\.gz/],
  ["a queue that does not exist", "queue pause cake", /Allowed choices are episode/],
  ["a bench that does not exist", "bench speed", /Allowed choices are/],
  ["a flag that a bench does not have", "bench chaos --twice", /Unknown option '--twice'/],
  ["a bench of nothing", "bench chaos --episodes 0", /--episodes takes a whole number above 0, not 0/],
  ["a row that does not exist", "bench chaos --rows 99", /there is no row 99: --list shows them/],
  ["a part that does not exist", "bench episodes --only lunch", /--only takes lockstep/],
];

test.each(misuses)("%s is wrong use: exit code 2, said on standard error", async (_what, line, message) => {
  const { exitCode, stdout, stderr } = await polygym(...line.split(" "));
  expect(stderr).toMatch(message);
  expect(stdout).toBe("");
  expect(exitCode).toBe(2);
});

test("a service that was named but does not answer is exit code 3", async () => {
  const { exitCode, stderr } = await polygym("episode", "list", "--server", "http://127.0.0.1:1");
  expect(exitCode).toBe(3);
  expect(stderr).toContain("http://127.0.0.1:1");
});

test("a home without a token says when there will be one", async () => {
  const { exitCode, stderr } = await polygym("token");
  expect(exitCode).toBe(7);
  expect(stderr).toContain("the first `polygym up`");
});

test("a wrong setting in the environment is wrong use and names the variable", async () => {
  const { exitCode, stderr } = await run([process.execPath, join(root, "cli/main.ts"), "token"], {
    env: { POLYGYM_HOME: home, POLYGYM_PORT: "many" },
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain("POLYGYM_PORT");
});

test("`test` ends with the counts, and a failing or empty selection is not a success", async () => {
  const passing = await polygym("test", "cli/exit-codes.test.ts");
  expect(passing.stdout.trimEnd().split("\n").at(-1)).toBe("1 passed, 0 failed");
  expect(passing.exitCode).toBe(0);
  const empty = await polygym("test", "no-such-test-file");
  expect(empty.stdout.trimEnd().split("\n").at(-1)).toBe("0 passed, 0 failed");
  expect(empty.exitCode).toBe(1);
});
