import { execFile } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { hostImage } from "../../docker/image-host.ts";
import { buildLight } from "../../docker/light/build.ts";

/** The native host where it sees version 1 only, version 2 only, both, or no control group at all. */
const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const home = join(root, ".polygym/test");
mkdirSync(home, { recursive: true });
/** Two cores with other tests; a host that waits for a group that is not there waits for ever. */
const SEEN_MS = 100_000;

const PROGRAM = `
import { openProvider } from "${join(root, "docker/catalog.ts")}";
const provider = await openProvider({ tier: "light", home: "${home}", warm: 0 });
const { enforced, missing } = await provider.selfCheck();
const sandbox = await provider.open({ image: "host", owner: "groups", limits: { processes: 40, memoryBytes: 128 * 2 ** 20, cpus: 1 } });
const out = async (script) => Buffer.from((await sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: 20_000 })).stdout).toString().trim();
const cores = await out("nproc");
const groups = await out("cut -d: -f3 /proc/self/cgroup | sort -u");
const bomb = await sandbox.exec({ argv: ["bash", "-c", "b() { b | b & }; b; sleep 60"], timeoutMs: 800 });
const eater = await sandbox.exec({ argv: ["python3", "-c", "x = bytearray(400 << 20); print('took all')"], timeoutMs: 20_000 });
const after = await out("echo alive");
await sandbox.close();
await provider.close();
console.log(JSON.stringify({ enforced, missing: missing.map(({ what }) => what), cores, groups, bombEnded: bomb.timedOut, tookAll: Buffer.from(eater.stdout).toString().includes("took all"), after }));
`;

const Seen = z.object({
  enforced: z.array(z.string()),
  missing: z.array(z.string()),
  cores: z.string(),
  groups: z.string(),
  bombEnded: z.boolean(),
  tookAll: z.boolean(),
  after: z.string(),
});

const LIMITS = {
  memory: "memory of the whole sandbox, its files included",
  pids: "number of processes",
  cpu: "processor time",
  cpuset: "processor cores (nproc)",
} as const;

const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
const version1 = mounts.filter((line) => / - cgroup /.test(line)).map((line) => line.split(" ")[4] ?? "");
const version2 = mounts.filter((line) => / - cgroup2 /.test(line)).map((line) => line.split(" ")[4] ?? "");

/** What carries a limit where the hidden hierarchies are out of sight. */
function carried(hidden: readonly string[]): string[] {
  const visible = mounts.filter((line) => / - cgroup2? /.test(line) && !hidden.includes(line.split(" ")[4] ?? ""));
  const v1 = visible
    .filter((line) => / - cgroup /.test(line))
    .flatMap((line) => (line.split(" - ")[1] ?? "").split(/[ ,]/));
  const v2 = visible
    .filter((line) => / - cgroup2 /.test(line))
    .flatMap((line) =>
      readFileSync(join(line.split(" ")[4] ?? "", "cgroup.controllers"), "utf8")
        .trim()
        .split(" "),
    );
  const whole = v2.includes("memory") && v2.includes("pids"); // version 2 is used for all or none
  return Object.keys(LIMITS).filter((name) => v1.includes(name) || (whole && v2.includes(name)));
}

const layouts = [
  { name: "everything that the machine has", hidden: [] },
  { name: "version 1 only", hidden: version2 },
  { name: "version 2 only", hidden: version1 },
  { name: "none", hidden: [...version1, ...version2] },
];

const isRoot = process.geteuid?.() === 0;
const title = "control groups";
beforeAll(async () => {
  await buildLight(home);
  await hostImage({ home });
});
describe.skipIf(!isRoot)(isRoot ? title : `${title} (skipped: only root can hide mounts)`, () => {
  for (const { name, hidden } of layouts)
    test(
      `${name}: what nothing carries is said to be missing, and sandboxes work`,
      async () => {
        const hide = hidden.map((path) => `umount -l ${path}`).join("\n");
        const script = `${hide}\nexec "$0" --input-type=module -e "$1"`;
        const argv = ["--mount", "--propagation", "private", "--", "bash", "-ec", script, process.execPath, PROGRAM];
        const { stdout } = await run("unshare", argv, { timeout: SEEN_MS });
        const seen = Seen.parse(JSON.parse(stdout));
        const there = carried(hidden);
        for (const [limit, what] of Object.entries(LIMITS)) {
          const isThere = there.includes(limit);
          expect([limit, seen.enforced.includes(what), seen.missing.includes(what)]).toEqual([
            limit,
            isThere,
            !isThere,
          ]);
        }
        expect([seen.cores, seen.groups, seen.bombEnded, seen.after]).toEqual(["1", "/", true, "alive"]);
        expect(seen.tookAll).toBe(false); // watched where it is not enforced
      },
      SEEN_MS,
    );
});
