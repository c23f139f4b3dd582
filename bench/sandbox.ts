import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../platform/config.ts";
import { type EngineForTests, startEngine } from "../test/engine.ts";
import { benchFlags } from "./flags.ts";
import { keep } from "./report.ts";
import { describeMachine, documentOf, forPeople } from "./sandbox/document.ts";
import { dockerExec } from "./sandbox/peer-docker-exec.ts";
import { bubblewrap, ociRuntime } from "./sandbox/peer-programs.ts";
import { measureSweRex } from "./sandbox/peer-swe-rex.ts";
import { measurePeer, type Peer } from "./sandbox/peers.ts";
import { plot } from "./sandbox/plot.ts";
import { type Plan, type Results, recorder } from "./sandbox/recorder.ts";
import { measureDocker, measureLight, measureUnprivileged } from "./sandbox/subjects.ts";

/**
 * `polygym bench sandbox`: what a sandbox costs, in our tiers and in what others use, one after the other in the same run.
 * It installs the peers and needs no service. Rows with all samples stay in bench/out.
 */
const flags = benchFlags("sandbox", "Sandboxes beside their peers: create, exec, files, fork, kill.", {
  quick: { type: "boolean", default: false, says: "a second per row instead of six" },
  only: { type: "string", says: "names of subjects, commas between; all when not given" },
  as: { type: "string", says: "measures this one of ours in this process, for the same bench in another" },
  home: { type: "string", says: "folder of the service whose images are used" },
});
const LIGHT = "light";
const UNPRIVILEGED = "light-unprivileged";

const config = loadConfig(undefined, { home: flags.home });
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(new Error(`ended by ${name}`)));
const plan: Plan = { quick: flags.quick, budgetMs: flags.quick ? 1_000 : 6_000, signal: stop.signal };

if (flags.as !== undefined)
  process.stdout.write(`${JSON.stringify(await measureLight(flags.as, config.home, plan))}\n`);
else await main();

async function main(): Promise<void> {
  const start = describeMachine();
  const started = new Date().toISOString();
  const folder = await mkdtemp(join(tmpdir(), "polygym-bench-"));
  try {
    const results = await measureAll(folder);
    const document = documentOf(start, results);
    const out = join(config.root, "bench/out");
    const kept = { ...document, started, quick: plan.quick, load_1m_after: describeMachine().load_1m, results };
    await keep(join(out, "sandbox.json"), kept);
    await writeFile(join(out, "sandbox.svg"), plot(document.rows, "One at a time: median (dot) to 99th percentile"));
    process.stdout.write(flags.json ? `${JSON.stringify(document)}\n` : `${forPeople(document, results)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureAll(folder: string): Promise<Results[]> {
  const { home } = config;
  const chosen = (subject: string): boolean => flags.only?.split(",").includes(subject) ?? true;
  const results: Results[] = [];
  const part = async (subject: string, measure: () => Promise<Results>): Promise<void> => {
    plan.signal.throwIfAborted();
    if (chosen(subject)) results.push(await measure());
  };
  await part(LIGHT, () => (process.geteuid?.() === 0 ? measureLight(LIGHT, home, plan) : missing(LIGHT, "needs root")));
  await part(UNPRIVILEGED, () => measureUnprivileged(UNPRIVILEGED, home, plan));
  if (chosen("docker") || chosen("docker-exec")) {
    // An engine of the machine's own may be named; else one is started for the bench alone.
    const started = config.dockerHost === null ? await startEngine() : given(config.dockerHost);
    try {
      const engine = started.engine;
      const without = engine ? "" : started.reason;
      await part("docker", () => (engine ? measureDocker(home, engine.address, plan) : missing("docker", without)));
      await part("docker-exec", () =>
        engine ? peer("docker-exec", () => dockerExec(home, engine.address)) : missing("docker-exec", without),
      );
    } finally {
      await started.engine?.stop();
    }
  }
  await part("runc", () =>
    peer("runc", () => ociRuntime({ argv: ["/usr/sbin/runc"], package: "runc", folder: join(folder, "runc") })),
  );
  const gvisor = ["/usr/bin/runsc", "--network=none", "--ignore-cgroups", "--platform=ptrace"];
  await part("runsc", () =>
    peer("runsc", () => ociRuntime({ argv: gvisor, package: "runsc", folder: join(folder, "runsc") })),
  );
  await part("bubblewrap", () => peer("bubblewrap", bubblewrap));
  await part("swe-rex", () => measureSweRex(plan));
  return results;
}

async function peer(subject: string, open: () => Promise<Peer>): Promise<Results> {
  const rec = recorder(subject, plan);
  await rec.attempt("all", async () => await measurePeer(await open(), rec));
  return rec.results;
}

function given(address: string): EngineForTests {
  const ready = async (): Promise<void> => undefined;
  return { engine: { address, start: ready, end: ready, stop: ready, signal: () => undefined } };
}

async function missing(subject: string, reason: string): Promise<Results> {
  const rec = recorder(subject, plan);
  rec.miss("all", reason);
  return rec.results;
}
