import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { expect } from "vitest";
import type { OutputChunk, Sandbox, SandboxProcess } from "../../core/sandbox.ts";
import type { Bench } from "../contract/sandbox.ts";
import { decode } from "../contract/sandbox-tools.ts";
import {
  type Attack,
  bash,
  type Control,
  neighbourOf,
  onOpenGround,
  outOf,
  python,
  shows,
  showsPython,
  T,
} from "./attack.ts";

/** Programs that look for their neighbour, for the machine's services, or for a place where both can leave a sign. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

const SEEN = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
attack(
  "does not see the machine's processes or those of a neighbour",
  { of: [12, 23], control: shows(`sleep 4242 & ${SEEN}`, /4242/) },
  async (bench) => {
    await using other = await neighbourOf(bench);
    await using hidden = await other.spawn({ argv: ["sleep", "4242"], timeoutMs: T });
    expect(await outOf(bench.sandbox, SEEN)).not.toContain("4242");
    expect(Number(await outOf(bench.sandbox, "ls -d /proc/[0-9]* | wc -l"))).toBeLessThan(8);
    await hidden.kill();
  },
);

const dial = (addresses: readonly string[], port: number): string => `import socket
for family, address in (${addresses.map((one) => `(2, ("${one}", ${port}))`).join(", ")}, (2, ("1.1.1.1", 53)), (2, ("169.254.169.254", 80)), (2, ("172.17.0.1", 2375)), (10, ("fd00:ec2::254", 80)), (2, ("127.0.0.1", 6379))):
  for kind in (1, 2):
    s = socket.socket(family, kind); s.settimeout(2)
    try:
      s.connect(address); s.send(b"x")
      if kind == 1: print("CONNECTED", address)
    except OSError as e: print(e.errno)
try: print(socket.getaddrinfo("secret-7f3a.example.com", 80))
except OSError: print("no names")`;

/** A service of the machine, on all of its addresses. */
async function withService(run: (addresses: string[], port: number) => Promise<void>): Promise<void> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const address = server.address();
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  try {
    const ipv4 = own.filter((one) => one.family === "IPv4").map((one) => one.address);
    await run(ipv4, address !== null && typeof address === "object" ? address.port : 0);
  } finally {
    server.close();
  }
}

attack(
  "has no route to anything",
  {
    of: [23, 24, 53],
    control: {
      run: () =>
        withService(async (_, port) => {
          const code = dial(["127.0.0.1"], port).replace('(2, ("1.1.1.1", 53)), (2, ("169.254.169.254", 80)), ', "");
          expect(await onOpenGround(["python3", "-c", code], { network: true })).toContain("CONNECTED");
        }),
    },
  },
  ({ sandbox }) =>
    withService(async (addresses, port) => {
      const out = await python(sandbox, dial(addresses, port));
      expect(out).not.toContain("CONNECTED");
      expect(out).toContain("no names");
    }),
);

const CALL_ABSTRACT = (name: string): string => `import socket
s = socket.socket(socket.AF_UNIX)
try: s.connect("\\0${name}"); print("CONNECTED")
except OSError as e: print(e.errno)`;

async function withAbstract(run: (name: string) => Promise<void>): Promise<void> {
  const name = `polygym-hostile-${process.pid}`;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(`\0${name}`, resolve));
  try {
    await run(name);
  } finally {
    server.close();
  }
}

attack(
  "reaches no abstract socket of the machine",
  {
    of: [25],
    control: {
      run: () =>
        withAbstract(async (name) => {
          expect(await onOpenGround(["python3", "-c", CALL_ABSTRACT(name)], { network: true })).toContain("CONNECTED");
        }),
    },
  },
  ({ sandbox }) => withAbstract(async (name) => expect(await python(sandbox, CALL_ABSTRACT(name))).toBe("111")),
);

attack(
  "finds no socket of the machine",
  {
    of: [25],
    control: shows(
      `python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("s"); s.listen(); import subprocess; print(subprocess.getoutput("find . -type s"))'`,
      /\.\/s/,
    ),
  },
  async ({ sandbox }) => {
    const sockets =
      "find / -xdev -type s 2>/dev/null | head -3; tail -n +2 /proc/net/unix | grep -v ' 03 \\| 01 ' | wc -l";
    expect(await outOf(sandbox, sockets)).toBe("0");
  },
);

const QUEUE = `import ctypes, os
libc = ctypes.CDLL("libc.so.6", use_errno=True)
print(libc.mq_open(b"/channel", os.O_RDWR | os.O_CREAT, 0o666, None) >= 0)`;
const FIND_QUEUE = `import ctypes, os
print(ctypes.CDLL("libc.so.6").mq_open(b"/channel", os.O_RDWR) >= 0)`;

attack(
  "shares no message queue, semaphore or shared memory with a neighbour",
  {
    of: [26],
    control: showsPython(
      `${QUEUE}\n${FIND_QUEUE}\nos.system("ipcmk -M 4096 >/dev/null; ipcs -m")`,
      /(?=[\s\S]*True\s+True)[\s\S]*0x/,
    ),
  },
  async (bench) => {
    await using other = await neighbourOf(bench);
    await bash(bench.sandbox, "ipcmk -M 4096 -p 0666 >/dev/null; ipcmk -S 1 >/dev/null; echo x > /dev/shm/channel");
    expect(await python(bench.sandbox, QUEUE)).toBe("True");
    expect(await outOf(other, "ipcs -m -s | grep -c '^0x'; ls /dev/shm")).toBe("0");
    expect(await python(other, FIND_QUEUE)).toBe("False");
  },
);

/** A command that holds a lock on `path`, once it does. Whoever asks for it ends it. */
async function holding(sandbox: Sandbox, path: string): Promise<SandboxProcess> {
  const held = Promise.withResolvers<void>();
  const onOutput = ({ data }: OutputChunk): void => {
    if (decode(data).includes("held")) held.resolve();
  };
  const argv = ["flock", path, "-c", "echo held; exec sleep 60"];
  const first = await sandbox.spawn({ argv, timeoutMs: T, mergeOutput: true, onOutput });
  first.exit.then(({ stdout }) => held.reject(new Error(`nothing was locked: ${decode(stdout)}`)), held.reject);
  await held.promise;
  return first;
}

const sharedLock = (path: string): Control =>
  shows(`flock ${path} bash -c 'flock -n ${path} echo free || echo held'`, /held/);
for (const [what, path] of [
  ["system files", "/usr/bin/env"],
  ["devices", "/dev/null"],
] as const) {
  attack(
    `locks its ${what} without a neighbour noticing`,
    { of: what === "devices" ? [26, 60] : [26, 82], control: sharedLock(path) },
    async (bench) => {
      await using other = await neighbourOf(bench);
      await using _held = await holding(bench.sandbox, path);
      expect(await outOf(bench.sandbox, `flock -n ${path} echo free`)).toBe(""); // it is truly held
      expect(await outOf(other, `flock -n ${path} echo free`)).toBe("free");
    },
  );
}

attack(
  "locks its namespaces without a neighbour noticing",
  { of: [80], control: sharedLock("/proc/self/ns/net") },
  async (bench) => {
    await using other = await neighbourOf(bench);
    for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]) {
      await using _held = await holding(bench.sandbox, `/proc/self/ns/${name}`);
      const lock = `flock -n /proc/self/ns/${name} echo free`;
      expect([name, await outOf(other, lock)]).toEqual([name, "free"]);
      expect([name, execFileSync("bash", ["-c", lock], { encoding: "utf8" }).trim()]).toEqual([name, "free"]);
    }
  },
);

const WATCH = `import ctypes, os, select, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/usr/bin/env", 0x20)
for line in sys.stdin:
  heard = bool(select.select([fd], [], [], 0)[0])
  if heard: os.read(fd, 4096)
  print(line.strip(), heard, flush=True)`;
attack(
  "hears of no file that a neighbour opens",
  {
    of: [26, 82],
    control: shows(`(sleep 0.5; cat /usr/bin/env >/dev/null; echo me) | python3 -c '${WATCH}'`, /me True/),
  },
  async (bench) => {
    await using other = await neighbourOf(bench);
    const said: string[] = [];
    let told = Promise.withResolvers<void>();
    const onOutput = ({ data }: OutputChunk): void => {
      said.push(decode(data).trim());
      told.resolve();
    };
    await using spy = await bench.sandbox.spawn({ argv: ["python3", "-c", WATCH], timeoutMs: T, onOutput });
    const ask = async (what: string): Promise<void> => {
      told = Promise.withResolvers();
      await spy.write(`${what}\n`);
      await told.promise;
    };
    await ask("nothing");
    await bash(other, "cat /usr/bin/env > /dev/null");
    await ask("neighbour");
    await bash(bench.sandbox, "cat /usr/bin/env > /dev/null");
    await ask("own");
    expect(said).toEqual(["nothing False", "neighbour False", "own True"]);
  },
);

attack(
  "has pipes as standard streams, which show nobody at the other end",
  { of: [84], control: { none: "a socket there would be the gym's own mistake; there is no switch for it" } },
  async ({ sandbox }) => {
    const streams = await sandbox.exec({ argv: ["readlink", "/proc/self/fd/0"], stdin: "x", timeoutMs: T });
    expect(Buffer.from(streams.stdout).toString()).toMatch(/^pipe:/);
    expect(await outOf(sandbox, "readlink /proc/self/fd/1 /proc/self/fd/2 | grep -vc pipe")).toBe("0");
  },
);

export const neighbourCases: readonly Attack[] = cases;
