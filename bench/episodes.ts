import { parseArgs } from "node:util";
import { loadConfig } from "../platform/config.ts";
import { lockstep } from "./episodes/lockstep.ts";
import { longEpisode } from "./episodes/long.ts";
import { memory } from "./episodes/memory.ts";
import { revival } from "./episodes/revival.ts";
import { soak } from "./episodes/soak.ts";
import { keep, machine } from "./report.ts";

/**
 * `polygym bench episodes`: many alive, parked, revived, forked, one very long, and very many. Each part runs against a
 * service of its own, so that no part's memory is another's.
 */
const PARTS = ["lockstep", "revival", "memory", "long", "soak"] as const;
type Part = (typeof PARTS)[number];

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean" },
    only: { type: "string", default: PARTS.join(",") },
    bound: { type: "string", default: "256" },
    opened: { type: "string", default: "512" },
    calls: { type: "string", default: "1158" },
    soak: { type: "string", default: "2000" },
  },
});
const wanted = new Set(flags.only.split(","));
for (const part of wanted)
  if (!PARTS.some((known) => known === part)) throw new Error(`--only takes ${PARTS.join(",")}, got ${part}`);
const part = async <T>(name: Part, work: () => Promise<T>): Promise<T | undefined> =>
  wanted.has(name) ? work() : undefined;

const document = {
  machine: machine(),
  lockstep: await part("lockstep", () => lockstep({ bound: Number(flags.bound), opened: Number(flags.opened) })),
  ...(await part("revival", revival)),
  memory: await part("memory", memory),
  long_episode: await part("long", () => longEpisode(Number(flags.calls))),
  soak: await part("soak", () => soak(Number(flags.soak))),
};
await keep(`${loadConfig().root}/bench/out/episodes.json`, document);
process.stdout.write(`${flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`);
