import { expect } from "vitest";
import type { Sandbox, SandboxProcess, SpawnRequest } from "../../core/sandbox.ts";
import type { Behaviour } from "./sandbox.ts";
import { decode, until } from "./sandbox-tools.ts";

/** Commands on a terminal, and signals to commands. */
const behaviours: Behaviour[] = [];
function behaviour(name: string, run: Behaviour["run"]): void {
  behaviours.push({ name, run });
}

const T = 30_000;
const SIZE = { columns: 91, rows: 33 };

interface Watched {
  readonly running: SandboxProcess;
  /** Resolves when the command has written `text`. */
  says(text: string): Promise<void>;
}

async function started(sandbox: Sandbox, argv: string[], more: Partial<SpawnRequest> = {}): Promise<Watched> {
  let said = "";
  const onOutput: SpawnRequest["onOutput"] = ({ data }) => {
    said += decode(data);
  };
  const running = await sandbox.spawn({ argv, timeoutMs: T, onOutput, ...more });
  return { running, says: (text) => until(`it says ${text}`, () => said.includes(text), T) };
}

behaviour("runs a command on a terminal of the size that is asked for", async ({ sandbox }) => {
  const script = "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && tty && echo err >&2";
  const result = await sandbox.exec({ argv: ["bash", "-c", script], pty: SIZE, timeoutMs: T });
  expect(decode(result.stdout)).toMatch(/^33 91\r\nxterm-256color\r\n\/dev\/pts\/\d+\r\nerr\r\n$/);
  expect([result.exitCode, result.stderrBytes]).toEqual([0, 0]);
});

behaviour("types input into a terminal, echoed, and ends it", async ({ sandbox }) => {
  const { running, says } = await started(sandbox, ["cat"], { pty: SIZE });
  await running.write("hello\n");
  await says("hello\r\nhello\r\n");
  await running.closeStdin();
  expect((await running.exit).exitCode).toBe(0);
});

behaviour("ends the input of a command on a terminal that was given none", async ({ sandbox }) => {
  const result = await sandbox.exec({ argv: ["cat"], pty: SIZE, timeoutMs: T });
  expect(result.exitCode).toBe(0);
});

behaviour("interrupts what is in front of a terminal by a control character", async ({ sandbox }) => {
  const { running, says } = await started(sandbox, ["bash", "-c", "echo up; sleep 60; echo no"], { pty: SIZE });
  await says("up");
  await running.write("\u0003");
  const result = await running.exit;
  expect([result.exitCode, result.signal]).toEqual([null, "SIGINT"]);
});

behaviour("stops a job of an interactive shell, which goes on", async ({ sandbox }) => {
  const { running, says } = await started(sandbox, ["bash", "--norc", "-i"], { pty: SIZE });
  await running.write("sleep 60\n");
  await says("sleep 60");
  await until("the job runs", async () => (await count(sandbox, "sleep")) === 1, T);
  await running.write("\u001a");
  await says("Stopped");
  await running.write("exit 5\nexit 5\n"); // the first one is answered by "There are stopped jobs."
  expect((await running.exit).exitCode).toBe(5);
});

behaviour("tells the programs in front of a terminal its new size", async ({ sandbox }) => {
  const script = "trap 'stty size; exit 4' WINCH; echo up; while :; do sleep 0.05; done";
  const { running, says } = await started(sandbox, ["bash", "-c", script], { pty: SIZE });
  await says("up");
  await running.resize({ columns: 40, rows: 12 });
  await says("12 40");
  expect((await running.exit).exitCode).toBe(4);
});

behaviour("ends everything on a terminal at the time-out", async ({ sandbox }) => {
  const script = "trap '' HUP INT; setsid sleep 61 & sleep 61";
  const result = await sandbox.exec({ argv: ["bash", "-c", script], pty: SIZE, timeoutMs: 1_000 });
  expect([result.timedOut, await count(sandbox, "sleep")]).toEqual([true, 0]);
});

behaviour("refuses a terminal of no or too large a size", async ({ sandbox }) => {
  for (const pty of [
    { columns: 0, rows: 10 },
    { columns: 80, rows: 1_001 },
  ])
    await expect(sandbox.exec({ argv: ["true"], pty, timeoutMs: T })).rejects.toThrow(/must be 1\.\.1000/);
});

behaviour("opens many terminals after each other and keeps none", async ({ sandbox }) => {
  for (let i = 0; i < 80; i++)
    expect((await sandbox.exec({ argv: ["true"], pty: SIZE, timeoutMs: T })).exitCode).toBe(0);
});

behaviour("gives a command every signal's own effect", async ({ sandbox }) => {
  for (const name of ["HUP", "INT", "QUIT", "TERM", "PIPE"]) {
    const result = await sandbox.exec({ argv: ["sh", "-c", `kill -${name} $$; sleep 60`], timeoutMs: 5_000 });
    expect([name, result.signal]).toEqual([name, `SIG${name}`]);
  }
});

behaviour("sends a signal to a command by its name", async ({ sandbox }) => {
  const script = "trap 'echo got; exit 6' USR1; echo up; while :; do sleep 0.05; done";
  const { running, says } = await started(sandbox, ["bash", "-c", script]);
  await says("up");
  await running.signal("SIGUSR1");
  expect((await running.exit).exitCode).toBe(6);
  await running.signal("SIGUSR1");
  await expect(running.signal("SIGNOTHING")).rejects.toThrow(/no signal's name/);
});

behaviour("sends a signal also to what the command waits for", async ({ sandbox }) => {
  const { running, says } = await started(sandbox, ["bash", "-c", "echo up; sleep 60; echo went on"]);
  await says("up");
  await until("it sleeps", async () => (await count(sandbox, "sleep")) === 1, T);
  await running.signal("SIGINT");
  const result = await running.exit;
  expect([result.exitCode, result.signal, decode(result.stdout)]).toEqual([null, "SIGINT", "up\n"]);
});

const count = async (sandbox: Sandbox, name: string): Promise<number> => {
  const argv = ["bash", "-c", `cat /proc/[0-9]*/comm 2>/dev/null | grep -cx '${name}'`];
  return Number(decode((await sandbox.exec({ argv, timeoutMs: T })).stdout));
};

export const terminalBehaviours: readonly Behaviour[] = behaviours;

/** Of a tier that runs no programs. */
export const noTerminals: Readonly<Record<string, string>> = Object.fromEntries(
  behaviours
    .filter(({ name }) => !name.startsWith("refuses"))
    .map(({ name }) => [name, "it runs no programs, so there is nothing for a terminal or a signal to reach"]),
);
