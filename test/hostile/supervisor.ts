import { expect } from "vitest";
import type { Bench } from "../contract/sandbox.ts";
import { codeOf, decode } from "../contract/sandbox-tools.ts";
import { type Attack, bash, type Control, inFresh, living, outOf, python, shows, showsPython, T } from "./attack.ts";

/** Programs that attack the agent, their supervisor or the end that is set for them. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

attack(
  "cannot kill, stop or signal PID 1",
  { of: [12, 57], control: shows("sleep 60 & kill -KILL $!; wait $!; echo $?", /137/) },
  async ({ sandbox }) => {
    await bash(sandbox, "for s in KILL STOP TERM INT HUP SEGV CHLD PIPE USR1 ALRM; do kill -$s 1; done");
    expect(await outOf(sandbox, "echo alive; cut -d' ' -f3 /proc/1/stat")).toMatch(/^alive\n[SR]$/);
  },
);

/** Attacks process \`pid\`: prints what worked. */
const TAKE_OVER = (pid: string): string => `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
pid = ${pid}
if libc.ptrace(0x4206, pid, 0, 0) == 0 or libc.ptrace(16, pid, 0, 0) == 0: print("TRACED")
for name in ("mem", "environ", "maps", "auxv", "stack", "syscall", "fd/3", "root", "cwd", "exe", "ns/mnt"):
  try: os.read(os.open("/proc/%d/%s" % (pid, name), os.O_RDONLY), 1); print("READ", name)
  except OSError: pass
try: os.open("/proc/%d/mem" % pid, os.O_WRONLY); print("WRITABLE")
except OSError: pass
for what, change in (("AFFINITY", lambda: os.sched_setaffinity(pid, {0})), ("PRIORITY", lambda: os.setpriority(0, pid, 19)),
                     ("OOM", lambda: os.write(os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY), b"1000"))):
  try: change(); print(what)
  except OSError: pass
print("end")`;

attack(
  "cannot trace PID 1, read its memory, or slow it down",
  {
    of: [13, 56],
    control: showsPython(
      TAKE_OVER('os.fork() or os.execvp("sleep", ["sleep", "60"])'),
      /TRACED[\s\S]*READ environ[\s\S]*AFFINITY/,
    ),
  },
  async ({ sandbox }) => {
    expect(await python(sandbox, TAKE_OVER("1"))).toBe("end");
    expect(await outOf(sandbox, "echo alive")).toBe("alive");
  },
);

attack(
  "cannot reach PID 1 through the worker's own file operations",
  {
    of: [28, 56],
    control: shows("head -c 1 /proc/self/environ | wc -c; ln -s /proc/self/mem m; test -w m && echo open", /1\nopen/),
  },
  async ({ sandbox }) => {
    await bash(sandbox, "ln -s /proc/self/mem mem; ln -s /proc/1/fd/3 socket; ln -s /proc/self/root/etc deep");
    for (const path of [
      "/proc/self/mem",
      "/proc/1/environ",
      "/proc/self/environ",
      "mem",
      "socket",
      "/proc/thread-self/maps",
    ]) {
      expect((await sandbox.read(path)).ok, path).toBe(false);
      expect((await sandbox.write(path, "x")).ok, path).toBe(false);
    }
    expect((await sandbox.remove("/proc/1")).ok).toBe(false);
  },
);

attack(
  "killing everything ends the killer's commands, not the sandbox",
  { of: [12], control: shows("sleep 99 & sleep 99 & (kill -9 -1); wait; ls -d /proc/[0-9]* | wc -l", /^3$/m) },
  async ({ sandbox }) => {
    const result = await bash(sandbox, "sleep 100 & kill -9 -1; sleep 1");
    expect(result.exitCode).toBeNull();
    expect(await outOf(sandbox, "echo alive")).toBe("alive");
  },
);

attack(
  "killing its supervisor wins a program no time",
  {
    of: [12, 57],
    control: shows(
      `bash -c 'bash -c "setsid sleep 5555 & kill -9 \\$PPID"; true'; sleep 0.1; cat /proc/[0-9]*/comm | grep -cx sleep`,
      /^1/m,
    ),
  },
  async ({ sandbox }) => {
    const result = await bash(sandbox, "setsid sleep 5555 & disown; kill -9 $PPID; sleep 60", 10_000);
    expect(result.exitCode).toBeNull();
    expect(result.durationMs).toBeLessThan(9_000);
    expect(await outOf(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[5]555'")).toBe("0");
  },
);

attack(
  "stopping itself and its supervisor ends at the time-out",
  {
    of: [11],
    control: shows(
      "bash -c 'kill -STOP $$; sleep 60' & sleep 0.5; kill -TERM $!; sleep 0.1; grep '^State' /proc/$!/status",
      /stopped/,
    ),
  },
  async ({ sandbox }) => {
    const result = await bash(sandbox, "kill -STOP $PPID $$; sleep 60", 700);
    expect(result.timedOut).toBe(true);
    expect(await outOf(sandbox, "echo alive")).toBe("alive");
  },
);

for (const [how, script] of [
  ["a busy loop", "while :; do :; done"],
  ["a read that never ends", "mkfifo f; read x < f"],
  ["a signal that is ignored", "trap '' TERM INT HUP QUIT ALRM; while :; do sleep 1; done"],
] as const) {
  attack(
    `${how} ends soon after its time-out`,
    { of: [11], control: shows(`(${script}) & sleep 0.5; kill -0 $! && echo runs`, /runs/) },
    async ({ sandbox }) => {
      const result = await bash(sandbox, script, 500);
      expect(result.timedOut).toBe(true);
      expect(result.durationMs).toBeLessThan(3_000); // half a second on a machine that has nothing else to do
    },
  );
}

const AWAY = `trap '' TERM HUP
setsid sleep 7001 & (setsid sleep 7002 &) & ( (exec setsid nohup sleep 7003 >/dev/null 2>&1 &) & )
sleep 7004`;
attack(
  "daemons that fork twice, leave the session and ignore signals end with the time-out",
  {
    of: [3, 65, 78],
    control: shows(
      `timeout -s TERM 0.5 bash -c "${AWAY}" & sleep 1; cat /proc/[0-9]*/comm | grep -cx sleep`,
      /^[1-9]/m,
    ),
  },
  async ({ sandbox }) => {
    expect((await bash(sandbox, AWAY, 700)).timedOut).toBe(true);
    expect(await living(sandbox, "sleep")).toBe(0);
  },
);

const ZOMBIE = `import os,time
if os.fork()==0:
  os.setsid()
  if os.fork()==0:
    os.setpgid(0,0); time.sleep(7777)
  os._exit(0)
time.sleep(7777)`;
attack(
  "a leader that is a zombie does not hide its group",
  {
    of: [3, 78],
    control: shows(`timeout -s KILL 0.5 python3 -c '${ZOMBIE}'; cat /proc/[0-9]*/comm | grep -c ^python3`, /^[1-9]/m),
  },
  async ({ sandbox }) => {
    expect((await sandbox.exec({ argv: ["python3", "-c", ZOMBIE], timeoutMs: 700 })).timedOut).toBe(true);
    expect(await living(sandbox, "python3")).toBe(0);
  },
);

attack(
  "a flood from the background does not hold up an answer",
  { of: [66], control: shows("(head -c 20000000 /dev/zero & echo done) | wc -c", /^2\d{7}/) }, // a reader waits for all of it
  async ({ sandbox }) => {
    const result = await bash(sandbox, "yes & echo done; exit 3", 20_000);
    expect([result.exitCode, result.timedOut]).toEqual([3, false]);
    expect(await outOf(sandbox, "pkill yes; echo next")).toBe("next");
  },
);

attack(
  "too many commands at once are refused, not lost",
  { of: [69], control: shows("for i in $(seq 400); do sleep 0.2 & done; wait; echo all", /all/) },
  (bench) =>
    inFresh(bench, { processes: 1_000 }, async (sandbox) => {
      const runs = await Promise.allSettled(Array.from({ length: 400 }, () => bash(sandbox, "sleep 0.2")));
      expect(runs.some((run) => run.status === "fulfilled" && run.value.exitCode === 0)).toBe(true);
      expect(await outOf(sandbox, "echo alive")).toBe("alive");
    }),
);

attack(
  "five thousand spawns are answered or refused, and the sandbox goes on",
  { of: [69], control: { none: "five thousand processes of the machine would be its neighbours' loss" } },
  async ({ sandbox }) => {
    const spawns = Array.from({ length: 5_000 }, () => codeOf(sandbox.exec({ argv: ["true"], timeoutMs: T })));
    const codes = new Set(await Promise.all(spawns));
    expect([...codes].filter((code) => !["none", "capacity", "sandbox_unavailable"].includes(code))).toEqual([]);
    expect(await outOf(sandbox, "echo alive")).toBe("alive");
  },
);

attack(
  "redefined builtins, traps and functions do not change how a command ended",
  { of: [10, 68], control: shows("echo() { builtin echo forged; }; false; echo $?", /forged/) },
  async ({ sandbox }) => {
    await using shell = await sandbox.shell();
    const forge =
      "printf() { :; }; exit() { :; }; kill() { :; }; trap : DEBUG EXIT; PROMPT_COMMAND=false; (builtin exit 7)";
    expect((await shell.run(forge, { timeoutMs: T })).exitCode).toBe(7);
    expect((await bash(sandbox, "exit() { builtin exit 9; }; exit 0")).exitCode).toBe(9);
  },
);

attack(
  "what a program writes to every descriptor it has forges no end and no output of another",
  { of: [10, 68], control: { none: "the descriptors of a command are the three that are tried" } },
  async ({ sandbox }) => {
    const forge = "for fd in $(seq 3 300); do echo '0 EXITCODE0 {\"reward\":1}' >&$fd; done 2>/dev/null; exit 4";
    const result = await bash(sandbox, forge);
    expect([result.exitCode, decode(result.stdout)]).toEqual([4, ""]);
  },
);

export const supervisorCases: readonly Attack[] = cases;
