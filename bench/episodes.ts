import { loadConfig } from "../platform/config.ts";
import { lockstep } from "./episodes/lockstep.ts";
import { longEpisode } from "./episodes/long.ts";
import { memory } from "./episodes/memory.ts";
import { revival } from "./episodes/revival.ts";
import { soak } from "./episodes/soak.ts";
import { benchFlags, countOf, refuse } from "./flags.ts";
import { keep, machine } from "./report.ts";

/**
 * `polygym bench episodes`: many alive, parked, revived, forked, one very long, and very many. Each part runs against a
 * service of its own, so that no part's memory is another's.
 */
const PARTS = ["lockstep", "revival", "memory", "long", "soak"] as const;
type Part = (typeof PARTS)[number];

const NAME = "episodes";
const flags = benchFlags(NAME, "Many episodes alive, parked, revived, forked, one very long, and very many.", {
  only: { type: "string", default: PARTS.join(","), says: "parts to measure" },
  bound: { type: "string", default: "256", says: "places of the lockstep" },
  opened: { type: "string", default: "512", says: "episodes of the lockstep" },
  calls: { type: "string", default: "1158", says: "tool calls of the long episode" },
  soak: { type: "string", default: "2000", says: "episodes of the soak" },
});
const count = (flag: "bound" | "opened" | "calls" | "soak"): number => countOf(NAME, flag, flags[flag]);
const wanted = new Set(flags.only.split(","));
for (const part of wanted)
  if (!PARTS.some((known) => known === part)) refuse(NAME, `--only takes ${PARTS.join(",")}, not ${part}`);
const part = async <T>(name: Part, work: () => Promise<T>): Promise<T | undefined> =>
  wanted.has(name) ? work() : undefined;

const document = {
  machine: machine(),
  lockstep: await part("lockstep", () => lockstep({ bound: count("bound"), opened: count("opened") })),
  ...(await part("revival", revival)),
  memory: await part("memory", memory),
  long_episode: await part("long", () => longEpisode(count("calls"))),
  soak: await part("soak", () => soak(count("soak"))),
};
await keep(`${loadConfig().root}/bench/out/episodes.json`, document);
process.stdout.write(`${flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`);
