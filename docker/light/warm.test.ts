import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostImage } from "../image-host.ts";
import { silentLog } from "../log.ts";
import { buildLight } from "./build.ts";
import { LightProvider } from "./provider.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });

const openPool = async (warm: number): Promise<LightProvider> =>
  new LightProvider({
    ...{ binary: await buildLight(home), images: [await hostImage({ home })], log: silentLog, warm },
    saturated: () => false,
  });
const REQUEST = { image: "host", owner: "warm" };
/** The last part of an id counts what the host has made. */
const numberOf = ({ id }: { id: string }): number => Number(id.split("-").at(-1));

/** Opens and closes until a sandbox waits. */
async function warmed(provider: LightProvider, request: Parameters<LightProvider["open"]>[0] = REQUEST): Promise<void> {
  for (let i = 0; i < 3; i++) await (await provider.open(request)).close();
  await provider.settled();
}

test("a sandbox that waited has the environment and the owner of who takes it, and is used once", async () => {
  await using provider = await openPool(1);
  await warmed(provider);
  await using first = await provider.open({ ...REQUEST, owner: "me", env: { A: "1" } });
  await using second = await provider.open(REQUEST);
  const result = await first.exec({ argv: ["sh", "-c", "echo $A $HOME; ls /workspace"], timeoutMs: 10_000 });
  expect(Buffer.from(result.stdout).toString()).toBe("1 /root\n");
  expect(first.id).toMatch(/^sb_me-/);
  expect(numberOf(first)).toBeLessThan(numberOf(second));
  await provider.settled();
  expect(await provider.counts()).toEqual({ sandboxes: 2, snapshots: 0, snapshotBytes: expect.any(Number) });
});

test("a frozen state is released although sandboxes wait on it, and its layers are freed", async () => {
  await using provider = await openPool(2);
  const base = await provider.open(REQUEST);
  await base.write("f", "frozen");
  const snapshot = await base.freeze();
  const request = { ...REQUEST, from: snapshot };
  await warmed(provider, request);
  await using taken = await provider.open(request);
  const read = await taken.read("f");
  expect(read.ok && Buffer.from(read.value).toString()).toBe("frozen");
  await provider.settled();
  const waiting = agents();
  await provider.release(snapshot);
  expect([waiting, agents(), await provider.counts()]).toEqual([
    3,
    1,
    { sandboxes: 1, snapshots: 0, snapshotBytes: expect.any(Number) },
  ]);
  await expect(provider.open(request)).rejects.toThrow(/not held/);
});

test("other limits get a sandbox of their own", async () => {
  await using provider = await openPool(1);
  await warmed(provider);
  await using small = await provider.open({ ...REQUEST, limits: { inodes: 40 } });
  let written = true;
  for (let i = 0; i < 60 && written; i++) written = (await small.write(`f${i}`, "")).ok;
  expect(written).toBe(false);
});

test("a sandbox that was killed while it waited is not handed out", async () => {
  await using provider = await openPool(1);
  await warmed(provider);
  for (const pid of agentPids()) process.kill(pid, "SIGKILL");
  await using sandbox = await provider.open(REQUEST);
  expect((await sandbox.exec({ argv: ["true"], timeoutMs: 10_000 })).exitCode).toBe(0);
});

test("close leaves none of those that wait", async () => {
  const provider = await openPool(2);
  await warmed(provider);
  expect(agents()).toBeGreaterThan(0);
  await provider.close();
  expect(agents()).toBe(0);
});

const agents = (): number => agentPids().length;

/** First processes of the sandboxes of this process's hosts. */
function agentPids(): number[] {
  const parents = new Map<number, number>();
  const found: number[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      parents.set(Number(pid), Number(parent));
      if (state !== "Z" && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("agent\0")) found.push(Number(pid));
    } catch {
      // ended meanwhile
    }
  }
  return found.filter((pid) => parents.get(parents.get(pid) ?? 0) === process.pid);
}
