import { execFileSync } from "node:child_process";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { expect } from "vitest";
import type { Sandbox, SandboxLimits } from "../../core/sandbox.ts";
import type { Bench } from "../contract/sandbox.ts";
import { codeOf, decode } from "../contract/sandbox-tools.ts";
import {
  type Attack,
  bash,
  type Control,
  inFresh,
  living,
  MIB,
  neighbourOf,
  outOf,
  shows,
  showsPython,
} from "./attack.ts";

/** Programs that take more than their share of processes, memory, disk, time and output. */
const cases: Attack[] = [];
function attack(name: string, about: { of: number[]; control: Control }, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, ...about, run });
}

/** How long the machine takes to start a program: a median would hide a stand-still. */
function slowestFork(): number {
  let slowest = 0;
  for (let i = 0; i < 10; i++) {
    const at = performance.now();
    execFileSync("/bin/true", { timeout: 5_000 });
    slowest = Math.max(slowest, performance.now() - at);
  }
  return slowest;
}
/** Two shared cores under a full test run; a machine that cannot fork at all is at the time-out of 5 s. */
const FORK_MS = 2_000;

const BOMB = "trap '' TERM INT HUP; b() { b | b & }; b; sleep 60";
attack(
  "a fork bomb ends with its time-out, and the sandbox goes on",
  { of: [2], control: shows("for i in $(seq 400); do sleep 3 & done; ls -d /proc/[0-9]* | wc -l", /^4\d\d/m) }, // twice the limit
  (bench) =>
    inFresh(bench, { processes: 200 }, async (sandbox) => {
      const result = await bash(sandbox, BOMB, 1_500);
      expect(result.timedOut).toBe(true);
      expect(Number(await outOf(sandbox, "ls -d /proc/[0-9]* | wc -l"))).toBeLessThan(8);
      expect(slowestFork()).toBeLessThan(FORK_MS);
    }),
);

/** A chain of twenty, each a session of its own: a bomb without a limit would be the machine's end. */
const CHAIN = `import os,time
for i in range(20):
  if os.fork(): break
  os.setsid()
time.sleep(60)`;
const SESSIONS = `import os,time
while True:
  try:
    if os.fork()==0: os.setsid()
    else: time.sleep(0.01)
  except OSError: time.sleep(0.01)`;
attack(
  "a fork bomb of sessions and groups dies whole",
  {
    of: [2, 3, 78],
    control: shows(
      `python3 -c '${CHAIN}' & sleep 1; kill -KILL $!; sleep 0.1; cat /proc/[0-9]*/comm | grep -c ^python3`,
      /^[1-9]/m,
    ),
  },
  (bench) =>
    inFresh(bench, { processes: 150 }, async (sandbox) => {
      const result = await sandbox.exec({ argv: ["python3", "-c", SESSIONS], timeoutMs: 1_500 });
      expect(result.timedOut).toBe(true);
      expect(await living(sandbox, "python3")).toBe(0);
    }),
);

/** Enough to share every core many times over, and few enough for a machine that runs other tests. */
const CROWD = 12;
async function crowd(
  bench: Bench,
  limits: Partial<SandboxLimits>,
  script: string,
  run: (all: Sandbox[]) => Promise<void>,
) {
  const all = await Promise.all(
    Array.from({ length: CROWD }, () => bench.provider.open({ image: "host", owner: "hostile", limits })),
  );
  try {
    const running = all.map((sandbox) => bash(sandbox, script, 1_500));
    await run(all);
    await Promise.allSettled(running);
    // One whose programs leave its agent no turn is ended, by their doing; the others go on.
    for (const sandbox of all) expect(["none", "sandbox_killed"]).toContain(await codeOf(bash(sandbox, "true")));
  } finally {
    await Promise.all(all.map((sandbox) => sandbox.close()));
  }
}

attack(
  "fork bombs in a dozen sandboxes at once leave the machine able to fork",
  { of: [59], control: { none: "a dozen bombs without limits are the machine's end" } },
  (bench) => crowd(bench, { processes: 60 }, BOMB, async () => expect(slowestFork()).toBeLessThan(FORK_MS)),
);

attack(
  "a storm of out-of-memory kills in a dozen sandboxes leaves the machine able to fork",
  { of: [75], control: { none: "memory of the machine that is used up is everybody's" } },
  (bench) =>
    crowd(
      bench,
      { processes: 30, memoryBytes: 64 * MIB },
      "while :; do python3 -c 'x = bytearray(1 << 28)'; done",
      async () => expect(slowestFork()).toBeLessThan(FORK_MS),
    ),
);

for (const [how, script, control] of [
  ["a large allocation", "python3 -c 'x=bytearray(1<<31)'", "python3 -c 'x=bytearray(300<<20); print(len(x))'"],
  [
    "many small allocations",
    "python3 -c 'x=[bytes(100000) for i in range(20000)]'",
    "python3 -c 'x=[bytes(100000) for i in range(3200)]; print(len(x) * 100000)'",
  ],
  [
    "shared memory",
    "head -c 2G /dev/zero > /dev/shm/fill",
    "mount -t tmpfs x /mnt; head -c 300M /dev/zero > /mnt/fill; stat -c %s /mnt/fill",
  ],
  [
    "a memory file",
    'python3 -c \'import os\nf=os.memfd_create("x")\nfor i in range(600): os.write(f, b"x"*1000000)\'',
    'python3 -c \'import os\nf=os.memfd_create("x")\nfor i in range(300): os.write(f, b"x"*1000000)\nprint(os.fstat(f).st_size)\'',
  ],
  [
    "mapped pages",
    "python3 -c 'import mmap\nm=mmap.mmap(-1,1<<31)\nfor i in range(0,1<<31,4096): m[i]=1'",
    "python3 -c 'import mmap\nm=mmap.mmap(-1,300<<20)\nfor i in range(0,300<<20,4096): m[i]=1\nprint(300000000)'",
  ],
  [
    "page tables",
    "python3 -c 'import mmap\nm=mmap.mmap(-1,1<<37,flags=0x4022)\nfor i in range(0,1<<37,1<<21): m[i]'",
    "python3 -c 'import mmap\nm=mmap.mmap(-1,1<<37,flags=0x4022)\nfor i in range(0,1<<37,1<<21): m[i]\nprint(300000000)'",
  ],
] as const) {
  attack(
    `memory: ${how} beyond the limit ends that command only`,
    { of: [4], control: shows(control, /^3[12]?\d{7}/m) },
    (bench) =>
      inFresh(bench, { memoryBytes: 128 * MIB }, async (sandbox) => {
        expect((await bash(sandbox, script, 20_000)).exitCode).not.toBe(0);
        expect(await outOf(sandbox, "echo alive")).toBe("alive");
        expect(slowestFork()).toBeLessThan(FORK_MS);
      }),
  );
}

attack(
  "files and memory together stay within the memory limit",
  { of: [4, 62], control: shows("head -c 200M /dev/zero > f; stat -c %s f", /209715200/) },
  (bench) =>
    inFresh(bench, { memoryBytes: 192 * MIB, diskBytes: 1024 * MIB }, async (sandbox) => {
      const result = await bash(sandbox, "head -c 1G /dev/zero > /workspace/fill; ls -l /workspace/fill");
      expect(decode(result.stderr)).toMatch(/No space/);
      expect(await outOf(sandbox, "rm /workspace/fill; echo freed")).toBe("freed");
    }),
);

attack(
  "a full disk is an error, not a stuck sandbox",
  { of: [5, 62], control: shows("head -c 9M /dev/zero > f; fallocate -l 20M g; stat -c %s f g", /9437184\n20971520/) },
  (bench) =>
    inFresh(bench, { diskBytes: 8 * MIB }, async (sandbox) => {
      await bash(sandbox, "yes > big; fallocate -l 1T huge; for i in $(seq 100); do echo $i > f$i; done 2>/dev/null");
      const written = await sandbox.write("more", Buffer.alloc(MIB));
      expect(written.ok ? "" : written.error).toBe("no_space");
      expect((await sandbox.remove("big")).ok).toBe(true);
      expect((await sandbox.write("more", "fits")).ok).toBe(true);
    }),
);

attack(
  "a million files meet the file quota",
  { of: [6], control: shows("seq 5000 | xargs touch; ls | wc -l", /5000/) },
  (bench) =>
    inFresh(bench, { inodes: 2_000 }, async (sandbox) => {
      const result = await bash(sandbox, "mkdir m; cd m; seq 5000 | xargs touch");
      expect(decode(result.stderr)).toMatch(/No space/);
      expect((await sandbox.remove("m")).ok).toBe(true);
    }),
);

attack(
  "a storm of small synchronous writes holds nobody up",
  {
    of: [36, 86],
    control: showsPython(
      "import os\nf = os.open('f', 66)\nfor i in range(50): os.pwrite(f, b'x', i); os.fsync(f)\nprint('done')",
      /done/,
    ),
  },
  async (bench) => {
    const storm = "import os\nf = os.open('f', 66)\nwhile True: os.pwrite(f, b'x', 0); os.fsync(f); os.sync()";
    await using hog = await bench.sandbox.spawn({ argv: ["python3", "-c", storm], timeoutMs: 10_000 });
    await using other = await neighbourOf(bench);
    const at = performance.now();
    expect(await outOf(other, "echo x > f; sync; echo turn")).toBe("turn");
    expect(performance.now() - at).toBeLessThan(5_000);
    await hog.kill();
  },
);

attack(
  "a busy loop of sixty threads leaves the neighbour its turn",
  { of: [35, 52], control: { none: "sixty loops without a limit are the other tests' loss" } },
  async (bench) => {
    const loops = "for i in $(seq 60); do while :; do :; done & done; wait";
    await using hog = await bench.sandbox.spawn({ argv: ["bash", "-c", loops], timeoutMs: 20_000 });
    await using other = await neighbourOf(bench);
    const started = performance.now();
    expect(await outOf(other, "echo turn")).toBe("turn");
    expect(performance.now() - started).toBeLessThan(10_000);
    await hog.kill();
  },
);

attack(
  "a flood of output without a line end stays bounded, and the worker answers meanwhile",
  { of: [8], control: shows("head -c 200000000 /dev/zero | tr '\\0' x | wc -c", /200000000/) },
  async ({ sandbox }) => {
    const before = process.memoryUsage().rss;
    using delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    const result = await bash(sandbox, "head -c 200000000 /dev/zero | tr '\\0' x", 60_000);
    expect([result.stdoutBytes, result.stdout.length]).toEqual([200_000_000, MIB]);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
    expect(delay.percentile(90) / 1e6).toBeLessThan(250); // 50 ms with the machine to itself
  },
);

attack(
  "a flood of one-byte writes to both streams is counted whole",
  { of: [8], control: { none: "what is counted is the gym's own doing" } },
  async ({ sandbox }) => {
    const code = "import os\nfor i in range(50000): os.write(1, b'o'); os.write(2, b'e')";
    const result = await bash(sandbox, `python3 -c "${code}"`);
    expect([result.stdoutBytes, result.stderrBytes]).toEqual([50_000, 50_000]);
  },
);

attack(
  "terminal escapes, NULs and broken UTF-8 pass as bytes",
  { of: [9], control: { none: "bytes are carried, not stopped: what shows them escapes them" } },
  async ({ sandbox }) => {
    const result = await bash(sandbox, "printf '\\033]0;x\\007\\000\\377\\342\\202'");
    expect([...result.stdout]).toEqual([0x1b, 0x5d, 0x30, 0x3b, 0x78, 7, 0, 0xff, 0xe2, 0x82]);
  },
);

attack(
  "a program that closes its outputs still gets its exit code answered",
  { of: [8, 11], control: { none: "an answer that never came would be the gym's own mistake" } },
  async ({ sandbox }) => expect((await bash(sandbox, "exec 1>&- 2>&-; exit 6")).exitCode).toBe(6),
);

export const resourceCases: readonly Attack[] = cases;
