import { expect } from "vitest";
import type { Sandbox, SandboxProvider, Snapshot } from "../../core/sandbox.ts";
import type { Behaviour, Bench } from "./sandbox.ts";
import { decode } from "./sandbox-tools.ts";

/** Behaviours of tiers whose frozen states are layers over each other: however many there are, files are what they were. */
const behaviours: Behaviour[] = [];
function behaviour(name: string, run: (bench: Bench) => Promise<void>): void {
  behaviours.push({ name, run });
}

const T = 60_000;
const bash = async (sandbox: Sandbox, script: string): Promise<string> => {
  const result = await sandbox.exec({ argv: ["bash", "-c", script], timeoutMs: T, mergeOutput: true });
  if (result.exitCode !== 0) throw new Error(`${script}\n${decode(result.stdout)}`);
  return decode(result.stdout);
};

/** A sandbox that is frozen and reopened over its own files again and again; only the last state is held. */
class Chain {
  sandbox: Sandbox;
  readonly #provider: SandboxProvider;
  #last: Snapshot | null = null;

  private constructor(provider: SandboxProvider, sandbox: Sandbox) {
    this.#provider = provider;
    this.sandbox = sandbox;
  }

  static async over(provider: SandboxProvider, base: Snapshot): Promise<Chain> {
    return new Chain(provider, await provider.open({ image: "host", from: base, owner: "contract" }));
  }

  async turn(): Promise<Snapshot> {
    const snapshot = await this.sandbox.freeze();
    this.sandbox = await this.#provider.open({ image: "host", from: snapshot, owner: "contract" });
    if (this.#last) await this.#provider.release(this.#last);
    this.#last = snapshot;
    return snapshot;
  }

  async close(): Promise<void> {
    await this.sandbox.close();
    if (this.#last) await this.#provider.release(this.#last);
  }
}

async function frozenBase(provider: SandboxProvider, script: string): Promise<Snapshot> {
  const maker = await provider.open({ image: "host", owner: "contract" });
  await bash(maker, script);
  return await maker.freeze();
}

/** A small random generator: the same seed makes the same sequence. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Model = Map<string, string>;
const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
const drop = (model: Model, path: string): void => {
  for (const one of [...model.keys()]) if (isBelow(one, path)) model.delete(one);
};
/** Makes the folders above a path, replacing files that are in the way. */
function makeWay(model: Model, path: string): string {
  const above = path
    .split("/")
    .slice(0, -1)
    .map((_, at, parts) => parts.slice(0, at + 1).join("/"));
  for (const folder of above) {
    if (model.get(folder) === "dir") continue;
    drop(model, folder);
    model.set(folder, "dir");
  }
  return above
    .map((folder) => `[ -d ${folder} ] && [ ! -L ${folder} ] || { rm -rf ${folder}; mkdir ${folder}; }`)
    .join("; ");
}

/** One random change of the model, and the script that does the same. */
function change(model: Model, random: (below: number) => number): string {
  const path = (): string => Array.from({ length: 1 + random(3) }, () => "abc"[random(3)]).join("/");
  const to = path();
  const kind = random(6);
  if (kind === 0) {
    drop(model, to);
    return `rm -rf ${to}`;
  }
  if (kind === 1) {
    const from = path();
    if (!model.has(from) || isBelow(to, from) || isBelow(from, to)) return ":";
    const moved = [...model].filter(([one]) => isBelow(one, from));
    drop(model, from);
    const way = makeWay(model, to);
    drop(model, to);
    for (const [one, what] of moved) model.set(to + one.slice(from.length), what);
    return `mv -T ${from} .moved; ${way || ":"}; rm -rf ${to}; mv -T .moved ${to}`;
  }
  const way = makeWay(model, to) || ":";
  drop(model, to);
  const text = `${random(1e9)}`;
  model.set(to, kind === 2 ? "dir" : kind === 3 ? `link ${text}` : `file ${text}`);
  const make = kind === 2 ? `mkdir ${to}` : kind === 3 ? `ln -s ${text} ${to}` : `printf ${text} > ${to}`;
  return `${way}; rm -rf ${to}; ${make}`;
}

const LIST = `find . -mindepth 1 -type f -printf '%P\\tfile ' -exec cat {} \\; -printf '\\n' -o -mindepth 1 -type l -printf '%P\\tlink %l\\n' -o -mindepth 1 -type d -printf '%P\\tdir\\n'`;

async function treeOf(sandbox: Sandbox): Promise<Model> {
  const lines = (await bash(sandbox, LIST)).split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [line.split("\t")[0] ?? "", line.split("\t")[1] ?? ""]));
}
const sorted = (model: Model): [string, string][] => [...model].sort(([a], [b]) => (a < b ? -1 : 1));

/** What an export has to say: the topmost deleted entries and everything that is new or other. */
function difference(base: Model, now: Model): string[] {
  const parent = (path: string): string => path.split("/").slice(0, -1).join("/");
  const changed = [...now].filter(([path, what]) => base.get(path) !== what).map(([path]) => path);
  const gone = [...base.keys()].filter(
    (path) => !now.has(path) && (parent(path) === "" || now.get(parent(path)) === "dir"),
  );
  return [...changed, ...gone.map((path) => `deleted ${path}`)].sort();
}

behaviour(
  "keeps files what a plain model says over 105 frozen states, and exports them exactly",
  async ({ provider }) => {
    const random = generator(7);
    const model: Model = new Map();
    const start = Array.from({ length: 20 }, () => change(model, random)).join("\n");
    const base = await frozenBase(provider, `set -e\n${start}`);
    const before = new Map(model);
    const chain = await Chain.over(provider, base);
    for (let generation = 1; generation <= 105; generation++) {
      const script = Array.from({ length: 1 + random(4) }, () => change(model, random)).join("\n");
      await bash(chain.sandbox, `set -e\n${script}`);
      const snapshot = await chain.turn();
      if (generation % 15 > 0) continue;
      expect(sorted(await treeOf(chain.sandbox))).toEqual(sorted(model));
      const done = await provider.export(base, snapshot, { root: "/workspace", maxBytes: 1e7, maxEntries: 1000 });
      const said = done.ok ? done.value.manifest : [];
      const listed = said.map(({ type, path }) => (type === "deleted" ? `deleted ${path}` : path));
      expect(listed.sort()).toEqual(difference(before, model));
    }
    await chain.close();
    await provider.release(base);
  },
);

behaviour(
  "keeps links, modes, times, holes and odd names through more states than a kernel stacks",
  async ({ provider }) => {
    const base = await frozenBase(provider, "mkdir d; echo old > d/old; echo keep > kept");
    const chain = await Chain.over(provider, base);
    await bash(
      chain.sandbox,
      `set -e; echo one > a; ln a b; chmod 4751 a; mkfifo pipe; mkdir -m 1777 sticky; truncate -s 1G hole; echo end >> hole
     echo x > $'odd\\n\\xff'; touch -d @1234567890 kept; setfattr -n user.note -v hi kept 2>/dev/null || true
     rm -r d; mkdir d; echo new > d/new; touch -d @1111111111 d`,
    );
    const look = `stat -c '%n %a %h %s %Y' a b pipe sticky kept d hole; ls -lis a b | awk '{print $1}' | uniq | wc -l
    du -k hole | cut -f1; ls d; ls | od -c; tail -c 4 hole; stat -c %t,%T pipe`;
    const before = await bash(chain.sandbox, look);
    for (let i = 0; i < 133; i++) {
      await chain.sandbox.write(`other/${i % 7}`, `${i}`);
      await chain.turn();
    }
    await bash(chain.sandbox, "rm -r other");
    expect(await bash(chain.sandbox, look)).toBe(before);
    await chain.close();
    await provider.release(base);
  },
);

behaviour("holds no more layers than it needs, however often a sandbox is frozen", async ({ provider }) => {
  const base = await frozenBase(provider, "echo base > f");
  const chain = await Chain.over(provider, base);
  for (let i = 0; i < 100; i++) {
    await chain.sandbox.write("f", "x".repeat(100_000));
    await chain.turn();
  }
  // 100 states of 100 KB: without merging, 10 MB. 34 layers at most, and those of one merge that may be on its way.
  expect((await provider.counts()).snapshotBytes).toBeLessThan(70 * 110_000);
  await chain.close();
  await provider.release(base);
});

behaviour("counts what its frozen layers hold against a sandbox's disk", async ({ provider }) => {
  const base = await frozenBase(provider, ":");
  const limits = { diskBytes: 8_000_000 };
  const first = await provider.open({ image: "host", from: base, owner: "contract", limits });
  expect((await first.write("one", Buffer.alloc(5_000_000))).ok).toBe(true);
  const frozen = await first.freeze();
  const second = await provider.open({ image: "host", from: frozen, owner: "contract", limits });
  const more = await second.write("two", Buffer.alloc(5_000_000));
  expect(more.ok ? "written" : more.error).toBe("no_space");
  expect((await second.write("two", Buffer.alloc(2_000_000))).ok).toBe(true);
  const full = await second.freeze();
  const third = await provider.open({ image: "host", from: full, owner: "contract", limits: { diskBytes: 1_000_000 } });
  const none = await third.write("three", Buffer.alloc(1_000_000));
  expect(none.ok ? "written" : none.error).toBe("no_space");
  await third.close();
  for (const snapshot of [full, frozen, base]) await provider.release(snapshot);
});

export const layerBehaviours: readonly Behaviour[] = behaviours;
