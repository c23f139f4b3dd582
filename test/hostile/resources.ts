import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import type { Sandbox, SandboxLimits } from "../../core/sandbox.ts";
import type { Behaviour, Bench } from "../contract/sandbox.ts";
import { decode } from "../contract/sandbox-tools.ts";

/** Programs that take more than their share. After each, the sandbox or the next one works and the machine still forks. */
const cases: Behaviour[] = [];
function attack(name: string, run: (bench: Bench) => Promise<void>): void {
  cases.push({ name, run });
}

const MIB = 1024 * 1024;
const T = 30_000;
const bash = (sandbox: Sandbox, script: string, timeoutMs = T) =>
  sandbox.exec({ argv: ["bash", "-c", script], timeoutMs });
const outOf = async (sandbox: Sandbox, script: string): Promise<string> =>
  decode((await bash(sandbox, script)).stdout).trim();
const isRoot = async ({ provider }: Bench): Promise<boolean> => (await provider.selfCheck()).mode === "root";
const machineForks = (): void => void execFileSync("/bin/true", { timeout: 5_000 });

async function inFresh(
  bench: Bench,
  limits: Partial<SandboxLimits>,
  run: (sandbox: Sandbox) => Promise<void>,
): Promise<void> {
  await using sandbox = await bench.provider.open({ image: "host", owner: "hostile", limits });
  await run(sandbox);
  machineForks();
}

attack("a fork bomb ends with its time-out, and the sandbox goes on", async (bench) => {
  await inFresh(bench, { processes: 200 }, async (sandbox) => {
    const result = await bash(sandbox, "trap '' TERM INT HUP; b() { b | b & }; b; sleep 60", 1_500);
    expect(result.timedOut).toBe(true);
    expect(Number(await outOf(sandbox, "ls -d /proc/[0-9]* | wc -l"))).toBeLessThan(8);
  });
});

attack("a fork bomb of sessions and groups dies whole", async (bench) => {
  await inFresh(bench, { processes: 150 }, async (sandbox) => {
    const bomb = `import os,time
while True:
  try:
    if os.fork()==0: os.setsid()
    else: time.sleep(0.01)
  except OSError: time.sleep(0.01)`;
    const result = await sandbox.exec({ argv: ["python3", "-c", bomb], timeoutMs: 1_500 });
    expect(result.timedOut).toBe(true);
    expect(await outOf(sandbox, "cat /proc/[0-9]*/comm 2>/dev/null | grep -c python")).toBe("0");
  });
});

attack("killing everything ends the killer's commands, not the sandbox", async ({ sandbox }) => {
  const result = await bash(sandbox, "sleep 100 & kill -9 -1; sleep 1");
  expect(result.exitCode).toBeNull();
  expect(await outOf(sandbox, "echo alive")).toBe("alive");
});

attack("killing its supervisor wins a program no time", async ({ sandbox }) => {
  const result = await bash(sandbox, "setsid sleep 5555 & disown; kill -9 $PPID; sleep 60", 10_000);
  expect(result.exitCode).toBeNull();
  expect(result.durationMs).toBeLessThan(9_000);
  expect(await outOf(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[5]555'")).toBe("0");
});

attack("stopping itself and its supervisor ends at the time-out", async ({ sandbox }) => {
  const result = await bash(sandbox, "kill -STOP $PPID $$; sleep 60", 700);
  expect(result.timedOut).toBe(true);
  expect(await outOf(sandbox, "echo alive")).toBe("alive");
});

attack("a leader that is a zombie does not hide its group", async ({ sandbox }) => {
  const script = `import os,time
if os.fork()==0:
  os.setsid()
  if os.fork()==0:
    os.setpgid(0,0); time.sleep(7777)
  os._exit(0)
time.sleep(7777)`;
  expect((await sandbox.exec({ argv: ["python3", "-c", script], timeoutMs: 700 })).timedOut).toBe(true);
  expect(await outOf(sandbox, "cat /proc/[0-9]*/comm | grep -c python3")).toBe("0");
});

for (const [how, script] of [
  ["a large allocation", "python3 -c 'x=bytearray(1<<31)'"],
  ["many small allocations", "python3 -c 'x=[bytes(100000) for i in range(20000)]'"],
  ["shared memory", "head -c 2G /dev/zero > /dev/shm/fill"],
  ["a memory file", 'python3 -c \'import os\nf=os.memfd_create("x")\nwhile True: os.write(f, b"x"*1000000)\''],
  ["mapped pages", "python3 -c 'import mmap\nm=mmap.mmap(-1,1<<31)\nfor i in range(0,1<<31,4096): m[i]=1'"],
] as const) {
  attack(`memory: ${how} beyond the limit ends that command only`, async (bench) => {
    await inFresh(bench, { memoryBytes: 128 * MIB }, async (sandbox) => {
      const result = await bash(sandbox, script, 20_000);
      if (!(await isRoot(bench)) && how === "a memory file") return; // not a process's own memory: the self-check says so
      expect(result.exitCode).not.toBe(0);
      expect(await outOf(sandbox, "echo alive")).toBe("alive");
    });
  });
}

attack("files and memory together stay within the memory limit", async (bench) => {
  await inFresh(bench, { memoryBytes: 192 * MIB, diskBytes: 1024 * MIB }, async (sandbox) => {
    const result = await bash(sandbox, "head -c 1G /dev/zero > /workspace/fill; ls -l /workspace/fill");
    expect(decode(result.stderr)).toMatch(/No space/);
    expect(await outOf(sandbox, "rm /workspace/fill; echo freed")).toBe("freed");
  });
});

attack("a full disk is an error, not a stuck sandbox", async (bench) => {
  await inFresh(bench, { diskBytes: 8 * MIB }, async (sandbox) => {
    await bash(sandbox, "yes > big; fallocate -l 1T huge; for i in $(seq 100); do echo $i > f$i; done 2>/dev/null");
    const written = await sandbox.write("more", Buffer.alloc(MIB));
    expect(written.ok ? "" : written.error).toBe("no_space");
    expect((await sandbox.remove("big")).ok).toBe(true);
    expect((await sandbox.write("more", "fits")).ok).toBe(true);
  });
});

attack("a million files meet the file quota", async (bench) => {
  await inFresh(bench, { inodes: 2_000 }, async (sandbox) => {
    const result = await bash(sandbox, "mkdir m; cd m; seq 5000 | xargs touch");
    expect(decode(result.stderr)).toMatch(/No space/);
    expect((await sandbox.remove("m")).ok).toBe(true);
  });
});

attack("an upload counts against the quota, too", async (bench) => {
  await inFresh(bench, { diskBytes: 4 * MIB }, async (sandbox) => {
    const written = await sandbox.write("upload", Buffer.alloc(6 * MIB));
    expect(written.ok ? "" : written.error).toBe("no_space");
  });
});

attack("descriptors run out for the program, not for the agent", async ({ sandbox }) => {
  const script = `import os
n=0
try:
  while True: os.open("/dev/null",0); n+=1
except OSError as e: print(n, e.errno)`;
  expect(await outOf(sandbox, `python3 -c '${script}'`)).toMatch(/^10\d\d 24$/);
  expect(await outOf(sandbox, "ulimit -n 100000 2>/dev/null || echo bounded; ulimit -Hc")).toBe("bounded\n0");
});

attack("inotify, pipes and message queues run out for this sandbox only", async ({ provider, sandbox }) => {
  const script = `import ctypes,os
libc=ctypes.CDLL(None)
n=0
while libc.inotify_init()>=0 and n<5000: n+=1
print(n, flush=True)
input()`;
  const full = Promise.withResolvers<void>();
  const hog = await sandbox.spawn({ argv: ["python3", "-c", script], timeoutMs: T, onOutput: () => full.resolve() });
  await full.promise;
  await using other = await provider.open({ image: "host", owner: "hostile" });
  expect(await outOf(other, "python3 -c 'import ctypes; print(ctypes.CDLL(None).inotify_init() >= 0)'")).toBe("True");
  await hog.kill();
});

attack("terminals run out for this sandbox only", async ({ provider, sandbox }) => {
  const script = `import os
n=0
try:
  while True: os.openpty(); n+=1
except OSError: print(n)
input()`;
  const first = Promise.withResolvers<void>();
  const hog = await sandbox.spawn({ argv: ["python3", "-c", script], timeoutMs: T, onOutput: () => first.resolve() });
  await first.promise;
  await using other = await provider.open({ image: "host", owner: "hostile" });
  expect(await outOf(other, "python3 -c 'import os; print(len(os.openpty()))'")).toBe("2");
  await hog.kill();
});

attack("a busy loop of sixty threads leaves the neighbour its turn", async ({ provider, sandbox }) => {
  const hog = await sandbox.spawn({
    argv: ["bash", "-c", "for i in $(seq 60); do while :; do :; done & done; wait"],
    timeoutMs: T,
  });
  await using other = await provider.open({ image: "host", owner: "hostile" });
  const started = performance.now();
  expect(await outOf(other, "echo turn")).toBe("turn");
  expect(performance.now() - started).toBeLessThan(10_000);
  await hog.kill();
});

attack("a flood of output without a line end stays bounded", async ({ sandbox }) => {
  const result = await bash(sandbox, "head -c 200000000 /dev/zero | tr '\\0' x", 60_000);
  expect([result.stdoutBytes, result.stdout.length]).toEqual([200_000_000, MIB]);
});

attack("a flood from the background does not hold up an answer", async ({ sandbox }) => {
  const result = await bash(sandbox, "yes & echo done; exit 3", 20_000);
  expect([result.exitCode, result.timedOut]).toEqual([3, false]);
  expect(await outOf(sandbox, "pkill yes; echo next")).toBe("next");
});

attack("too many commands at once are refused, not lost", async ({ provider }) => {
  await using sandbox = await provider.open({ image: "host", owner: "hostile", limits: { processes: 1_000 } });
  const runs = await Promise.allSettled(Array.from({ length: 400 }, () => bash(sandbox, "sleep 0.2")));
  expect(runs.some((run) => run.status === "fulfilled" && run.value.exitCode === 0)).toBe(true);
  expect(await outOf(sandbox, "echo alive")).toBe("alive");
});

attack("terminal escapes, NULs and broken UTF-8 pass as bytes", async ({ sandbox }) => {
  const result = await bash(sandbox, "printf '\\033]0;x\\007\\000\\377\\342\\202'");
  expect([...result.stdout]).toEqual([0x1b, 0x5d, 0x30, 0x3b, 0x78, 7, 0, 0xff, 0xe2, 0x82]);
});

attack("a program that closes its outputs still gets its exit code answered", async ({ sandbox }) => {
  expect((await bash(sandbox, "exec 1>&- 2>&-; exit 6")).exitCode).toBe(6);
});

export const resourceCases: readonly Behaviour[] = cases;
