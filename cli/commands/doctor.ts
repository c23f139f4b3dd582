import { spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { openLog } from "../../platform/log.ts";
import { checkRedis, connectRedis } from "../../platform/redis.ts";
import { openPostgresStore } from "../../platform/store/postgres/open.ts";
import type { CommandContext } from "../context.ts";
import { chooseEngine, lookForEngine } from "../engine-choice.ts";
import { EXIT } from "../exit-codes.ts";
import type { Registry } from "../registry.ts";
import { checkSandbox } from "../sandbox-check.ts";
import { sandboxOption, sandboxOverrides } from "../sandbox-option.ts";
import { table } from "../terminal.ts";

/** One thing looked at. `missing` keeps the gym from working, `limited` makes some of it unavailable. */
interface Finding {
  readonly what: string;
  readonly state: "good" | "limited" | "missing";
  readonly detail: string;
  /** What to do; empty when nothing is. */
  readonly advice: string;
}

/** Whoever asks waits for the answer. */
const STORE_PATIENCE_MS = 2_000;
const LEAST_FREE_BYTES = 2 * 1024 ** 3;

export function addDoctor({ program, action }: Registry): void {
  program
    .command("doctor")
    .summary("what this machine offers and lacks, each with what to do")
    .addOption(sandboxOption())
    .action(action(doctor, sandboxOverrides));
}

async function doctor(context: CommandContext): Promise<number> {
  const { terminal } = context;
  const findings = [
    node(),
    await redis(context),
    await store(context),
    compiler(),
    python(),
    disk(context),
    await engine(context),
    ...(await sandbox(context)),
  ];
  if (terminal.json) terminal.print(JSON.stringify({ findings }));
  else for (const line of report(context, findings)) terminal.print(line);
  return findings.some((finding) => finding.state === "missing") ? EXIT.failed : EXIT.done;
}

function report({ terminal: { color } }: CommandContext, findings: readonly Finding[]): string[] {
  const marks = { good: color.green("good"), limited: color.yellow("limited"), missing: color.red("missing") };
  return table(
    findings.map(({ what, state, detail, advice }) => [
      marks[state],
      what,
      advice === "" ? detail : `${detail}; ${advice}`,
    ]),
  );
}

function node(): Finding {
  const major = Number(process.versions.node.split(".")[0]);
  const good = major >= 24;
  return {
    what: "node",
    state: good ? "good" : "missing",
    detail: process.version,
    advice: good ? "" : "start by ./polygym, which brings Node 24",
  };
}

async function redis({ config }: CommandContext): Promise<Finding> {
  const what = "redis";
  if (config.redisUrl === null) {
    const found = firstLine("redis-server", "--version") ?? firstLine("valkey-server", "--version");
    return found === null
      ? {
          what,
          state: "missing",
          detail: "no redis-server or valkey-server",
          advice: "apt-get install redis-server, or set POLYGYM_REDIS_URL",
        }
      : { what, state: "good", detail: `${found}, private`, advice: "" };
  }
  const connection = connectRedis(config.redisUrl, { maxRetriesPerRequest: 1 });
  try {
    const problems = await checkRedis(connection);
    const state = problems.length === 0 ? "good" : "limited";
    return { what, state, detail: "POLYGYM_REDIS_URL answers", advice: problems.join("; ") };
  } catch (error) {
    return {
      what,
      state: "missing",
      detail: `POLYGYM_REDIS_URL: ${String(error)}`,
      advice: "start it, or unset the variable for a private one",
    };
  } finally {
    connection.disconnect();
  }
}

async function store({ config }: CommandContext): Promise<Finding> {
  const what = "store";
  if (config.storeUrl === null) return { what, state: "good", detail: "files in the home folder", advice: "" };
  const options = { url: config.storeUrl, blobs: config.blobs, processId: config.processId };
  try {
    await using opened = await openPostgresStore({
      ...options,
      log: openLog({ level: "silent", name: "doctor", processId: config.processId }),
      now: Date.now,
      patienceMs: STORE_PATIENCE_MS,
    });
    await opened.jobs();
    return { what, state: "good", detail: "the PostgreSQL of POLYGYM_STORE answers", advice: "" };
  } catch (error) {
    const detail = `POLYGYM_STORE: ${error instanceof Error ? error.message : String(error)}`;
    return { what, state: "missing", detail, advice: "start it, or unset the variable for files in the home folder" };
  }
}

function compiler(): Finding {
  const found = firstLine("cc", "--version");
  return found === null
    ? { what: "compiler", state: "missing", detail: "no cc", advice: "apt-get install gcc libc6-dev make" }
    : { what: "compiler", state: "good", detail: `${found}${muslNote()}`, advice: "" };
}

/** docker/light/build.sh takes it where there is one. */
const muslNote = (): string =>
  firstLine("musl-gcc", "--version") === null
    ? "; built with musl-gcc (musl-tools) sandboxes start sooner"
    : ", musl-gcc";

/** The one that sandboxes see: never a version manager's. */
const SYSTEM_PYTHON = ["/usr/bin/python3", "/usr/local/bin/python3"];

function python(): Finding {
  const ask = (...args: string[]) =>
    SYSTEM_PYTHON.map((path) => firstLine(path, ...args)).find((line) => line !== null);
  const version = ask("--version") ?? null;
  const pytest = ask("-I", "-c", "import pytest; print(pytest.__version__)") ?? null;
  if (version === null)
    return {
      what: "python",
      state: "limited",
      detail: "no python3: Python tasks are unavailable",
      advice: "apt-get install python3 python3-pytest",
    };
  if (pytest === null)
    return {
      what: "python",
      state: "limited",
      detail: `${version} without pytest: repositories in Python are unavailable`,
      advice: "apt-get install python3-pytest",
    };
  return { what: "python", state: "good", detail: `${version}, pytest ${pytest}`, advice: "" };
}

function disk({ config }: CommandContext): Finding {
  const { bavail, bsize } = statfsSync(config.root);
  const free = bavail * bsize;
  const detail = `${(free / 1024 ** 3).toFixed(1)} GiB free below ${config.home}`;
  return free >= LEAST_FREE_BYTES
    ? { what: "disk", state: "good", detail, advice: "" }
    : { what: "disk", state: "limited", detail, advice: "free some, or set POLYGYM_HOME to a larger place" };
}

/** Without one, tier light goes on. */
async function engine({ config }: CommandContext): Promise<Finding> {
  const what = "container engine";
  const choice = await lookForEngine(config);
  if (choice.type !== "none") return { what, state: "good", detail: choice.detail, advice: "" };
  const state = config.tier === "docker" ? "missing" : "limited";
  return { what, state, detail: `${choice.detail}: tier docker is unavailable`, advice: choice.advice };
}

async function sandbox(context: CommandContext): Promise<Finding[]> {
  const report = await checkedSandbox(context);
  if ("error" in report)
    return [
      { what: "sandbox", state: "missing", detail: report.error, advice: "see CONTRIBUTING.md on the sandbox helper" },
    ];
  const { tier, mode, enforced, missing, runtimes } = report;
  const none = mode === "none";
  const names = Object.entries(runtimes).map(([name, { version }]) => `${name} ${version}`);
  return [
    {
      what: "sandbox",
      state: none ? "missing" : "good",
      detail: `${tier}, as ${mode}: ${enforced.join(", ")}`,
      advice: "",
    },
    ...missing.map(
      ({ what, advice }): Finding => ({
        what: "sandbox",
        state: none ? "missing" : "limited",
        detail: `not enforced: ${what}`,
        advice,
      }),
    ),
    { what: "image host", state: "good", detail: names.join(", "), advice: "" },
    imageBuilders(report.builders),
  ];
}

function imageBuilders(builders: readonly ("packages" | "engine")[]): Finding {
  const ways = { packages: "from packages of Debian", engine: "by a container engine" };
  const what = "other images";
  if (builders.length > 0) {
    const lacks = builders.includes("engine")
      ? ""
      : "tasks with a Dockerfile need a container engine (POLYGYM_DOCKER_HOST)";
    return { what, state: "good", detail: `built ${builders.map((way) => ways[way]).join(" or ")}`, advice: lacks };
  }
  const advice = "run workers as root on Debian or Ubuntu, or start a container engine (POLYGYM_DOCKER_HOST)";
  return { what, state: "limited", detail: "none can be built", advice };
}

/** By the engine that a service would use. */
async function checkedSandbox({ config, terminal, signal }: CommandContext): ReturnType<typeof checkSandbox> {
  try {
    await using chosen = await chooseEngine(config, terminal.note);
    return await checkSandbox(chosen.config, signal);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function firstLine(command: string, ...args: string[]): string | null {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 10_000 });
  return status === 0 ? (stdout.split("\n")[0] ?? "").trim() : null;
}
