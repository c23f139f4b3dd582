import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Bench } from "../contract/sandbox.ts";
import { decode, until } from "../contract/sandbox-tools.ts";
import { type Attack, bash, type Control, inFresh, MIB, neighbourOf, outOf, python, showsPython, T } from "./attack.ts";

/** Programs that fill tables of the kernel which nobody thinks of as memory. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

/** Runs a program that takes all it can get, prints how much, and holds it while `meanwhile` looks. */
async function holding(bench: Bench, code: string, meanwhile: (said: string) => Promise<void>): Promise<void> {
  const said = Promise.withResolvers<string>();
  await using hog = await bench.sandbox.spawn({
    argv: ["python3", "-c", `${code}\nimport sys; sys.stdout.flush(); input()`],
    timeoutMs: T,
    onOutput: ({ data }) => said.resolve(decode(data)),
  });
  await meanwhile(await Promise.race([said.promise, hog.exit.then(({ stderr }) => `ended: ${decode(stderr)}`)]));
  await hog.kill();
}

const DESCRIPTORS = `import os
n=0
try:
  while n < 5000: os.open("/dev/null",0); n+=1
except OSError as e: print(n, e.errno)`;
attack(
  "descriptors run out for the program, not for the agent",
  {
    of: [7],
    control: showsPython(
      `import resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n${DESCRIPTORS}\nprint(n)`,
      /^5000$/m,
    ),
  },
  async ({ sandbox }) => {
    expect(await python(sandbox, DESCRIPTORS)).toMatch(/^10\d\d 24$/);
    expect(await outOf(sandbox, "ulimit -n 100000 2>/dev/null || echo bounded; ulimit -Hc")).toBe("bounded\n0");
  },
);

const ALLOWANCES: readonly { name: string; take: string; one: string }[] = [
  {
    name: "inotify",
    take: "while libc.inotify_init() >= 0 and n < 5000: n += 1",
    one: "libc.inotify_init() >= 0",
  },
  {
    name: "queued signals",
    take: "import signal\nsignal.pthread_sigmask(0, {40})\nwhile libc.sigqueue(os.getpid(), 40, 0) == 0 and n < 500000: n += 1",
    one: "signal.pthread_sigmask(0, {40}) is not None and libc.sigqueue(os.getpid(), 40, 0) == 0",
  },
  {
    name: "message queues",
    take: 'while libc.mq_open(b"/q%d" % n, 66, 0o600, None) >= 0 and n < 5000: n += 1',
    one: 'libc.mq_open(b"/own", 66, 0o600, None) >= 0',
  },
  {
    name: "pipe buffers",
    take: "keep = []\nwhile n < 300:\n  keep.append(os.pipe())\n  if libc.fcntl(keep[-1][1], 1031, 1 << 20) < 0: break\n  n += 1",
    one: "libc.fcntl(os.pipe()[1], 1031, 1 << 20) > 0",
  },
];
for (const { name, take, one } of ALLOWANCES) {
  const start = 'import ctypes, os, signal\nlibc = ctypes.CDLL("libc.so.6", use_errno=True)\nn = 0\n';
  // Two processes of one ordinary user share what the kernel allows a user: that is the attack.
  const both = `import os, subprocess
hog = subprocess.Popen(["/usr/bin/python3", "-c", '''${start}${take}\nprint(n, flush=True); input()'''], user=61234, group=61234, extra_groups=[], stdout=-1, stdin=-1)
hog.stdout.readline()
print(subprocess.run(["/usr/bin/python3", "-c", '''${start}print(${one})'''], user=61234, group=61234, extra_groups=[], capture_output=True, text=True).stdout)
hog.kill()`;
  attack(`${name} run out for this sandbox only`, { of: [7, 58], control: showsPython(both, /False/) }, (bench) =>
    holding(bench, `${start}${take}\nprint("took", n)`, async (said) => {
      expect(said).toMatch(/^took \d+/);
      await using other = await neighbourOf(bench);
      expect(await python(other, `${start}print(${one})`)).toBe("True");
    }),
  );
}

const PTYS = `import os
n=0
try:
  while n < 200: os.openpty(); n+=1
except OSError: pass
print(n)`;
attack("terminals run out for this sandbox only", { of: [7, 61], control: showsPython(PTYS, /^200$/m) }, (bench) =>
  holding(bench, PTYS, async (said) => {
    expect(Number(said)).toBeLessThanOrEqual(64);
    await using other = await neighbourOf(bench);
    expect(await python(other, "import os; print(len(os.openpty()))")).toBe("2");
  }),
);

const TCP = `import socket
n=0; keep=[]
l=socket.socket(); l.bind(("127.0.0.1",0)); l.listen(2000)
try:
  while len(keep) < 3000 and n < 300 << 20:
    a=socket.create_connection(l.getsockname()); b=l.accept()[0]; a.setblocking(False); keep+=[a,b]
    try:
      while True: n+=a.send(b"x"*65536)
    except BlockingIOError: pass
except OSError: pass
print(n)`;
const UDP = `import socket
keep=[]
try:
  while len(keep) < 900:
    a=socket.socket(2,2); a.bind(("127.0.0.1",0)); keep.append(a)
    with socket.socket(2,2) as s:
      for i in range(4): s.sendto(b"x"*60000,a.getsockname())
except OSError: pass
print(sum(int(line.split()[4].split(":")[1],16) for line in open("/proc/net/udp").readlines()[1:]))`;
const PIPES = `import os
n=0
try:
  while n < 300 << 20:
    r,w=os.pipe(); os.set_blocking(w,False)
    try:
      while True: n+=os.write(w,b"x"*65536)
    except BlockingIOError: pass
except OSError: pass
print(n)`;
const UNIX = `import socket
n=0; keep=[]
try:
  while n < 300 << 20:
    a,b=socket.socketpair(); a.setblocking(False); keep+=[a,b]
    try:
      while True: n+=a.send(b"x"*65536)
    except BlockingIOError: pass
except OSError: pass
print(n)`;

for (const [what, code] of [
  ["TCP", TCP],
  ["UDP", UDP],
  ["pipe", PIPES],
  ["local socket", UNIX],
] as const) {
  attack(
    `${what} buffers of a program stay below twice the memory limit`,
    {
      of: [4, 85],
      control: { none: "what they hold is the machine's own memory; the figure without a limit is its whole" },
    },
    (bench) =>
      inFresh(bench, { memoryBytes: 128 * MIB }, async (sandbox) => {
        const result = await sandbox.exec({ argv: ["python3", "-c", code], timeoutMs: T });
        if (result.exitCode === 0) expect(Number(decode(result.stdout))).toBeLessThan(256 * MIB);
        else expect([result.signal, result.timedOut]).toEqual(["SIGKILL", false]);
        expect(await outOf(sandbox, "echo alive")).toBe("alive");
      }),
  );
}

/** Names that are not there and that the kernel remembers; the fifth number of the file. */
const negativeNames = (): number => Number(readFileSync("/proc/sys/fs/dentry-state", "utf8").split("\t")[4]);
const LOOK_UPS = 40_000;
attack(
  "look-ups of names that are not there take no memory of the machine after the end",
  {
    of: [65],
    control: { none: "the kernel's memory of names belongs to all; tmpfs outside keeps them until it is unmounted" },
  },
  async (bench) => {
    const before = negativeNames();
    await inFresh(bench, { memoryBytes: 128 * MIB }, async (sandbox) => {
      const code = `import os\nfor i in range(${LOOK_UPS}):\n  try: os.stat("%d%s" % (i, "y" * 150))\n  except OSError: pass`;
      expect((await sandbox.exec({ argv: ["python3", "-c", code], timeoutMs: 60_000 })).timedOut).toBe(false);
      expect(await outOf(sandbox, "echo alive")).toBe("alive");
    });
    await until("the names are forgotten", () => negativeNames() < before + LOOK_UPS / 2);
  },
);

attack(
  "asynchronous requests take no place in the machine's table",
  {
    of: [81],
    control: showsPython(
      "import ctypes; c = ctypes.c_ulong(0); print(ctypes.CDLL(None).syscall(206, 128, ctypes.byref(c)))",
      /^0$/m,
    ),
  },
  async ({ sandbox }) => {
    const code = "import ctypes; c = ctypes.c_ulong(0); print(ctypes.CDLL(None).syscall(206, 128, ctypes.byref(c)))";
    const before = readFileSync("/proc/sys/fs/aio-nr", "utf8");
    expect(await python(sandbox, code)).toBe("-1");
    expect(readFileSync("/proc/sys/fs/aio-nr", "utf8")).toBe(before);
    expect((await bash(sandbox, "cat /proc/sys/fs/aio-nr")).stdoutBytes).toBe(0);
  },
);

export const tableCases: readonly Attack[] = cases;
