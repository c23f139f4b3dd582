import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { newProcessId } from "../core/ids.ts";
import { type Config, processEnvironment } from "../platform/config.ts";
import { forgetPresence } from "../platform/presence.ts";
import { startRedis } from "../platform/private-redis.ts";
import { openQueues } from "../platform/queues.ts";
import { connectRedis } from "../platform/redis.ts";
import { Client } from "./client.ts";
import { chooseEngine } from "./engine-choice.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { freePort } from "./free-port.ts";
import { requireEngine } from "./sandbox-check.ts";
import { claimServiceFile, releaseServiceFile } from "./service-file.ts";
import { SupervisedProcess } from "./supervised-process.ts";
import { until } from "./until.ts";

/** A server that does not listen by then has a problem that its log names. */
const LISTEN_DEADLINE_MS = 30_000;
/** The first worker also makes the image ready. */
const WORKER_DEADLINE_MS = 60_000;

/** A process that died so often before anything was ready will not become it. */
const HOPELESS_DEATHS = 4;
const TAIL_CHARS = 1_500;

/** Where each kind of process has its entry. */
const FOLDERS = { server: "server", worker: "workers" } as const;

export interface RunningService extends AsyncDisposable {
  readonly url: string;
  readonly logDir: string;
  /** Resolves when a worker takes episodes. */
  workersReady(signal?: AbortSignal): Promise<void>;
}

export interface ServiceOptions {
  readonly config: Config;
  /** Take any free port when the configured one is taken. */
  readonly anyPort: boolean;
  /** Told of processes that died and of restarts. */
  readonly onEvent: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Starts Redis (unless one is configured), one server process and the worker processes, and keeps them running. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const { anyPort, onEvent, signal } = options;
  await using parts = new AsyncDisposableStack();
  const { config } = parts.use(await chooseEngine(options.config, onEvent));
  await requireEngine(config, signal);
  const port = await freePort(config.host, config.port, { orAny: anyPort });
  if (port === null)
    throw new CommandError(
      EXIT.failed,
      `${config.host}:${config.port} is taken`,
      "choose another with --port, or stop what listens there",
    );
  const url = `http://${config.host.includes(":") ? `[${config.host}]` : config.host}:${port}`;
  await mkdir(config.home, { recursive: true });
  if (!claimServiceFile(config.home, url))
    throw new CommandError(EXIT.failed, `a service of ${config.home} is running already`, "use it, or stop it first");
  parts.defer(() => releaseServiceFile(config.home));
  const logDir = join(config.home, "logs");
  await mkdir(logDir, { recursive: true });
  const redisUrl = config.redisUrl ?? parts.adopt(await startRedis(config), (redis) => redis.close()).url;
  const presence = connectRedis(redisUrl);
  parts.defer(() => presence.disconnect());
  const queues = openQueues({ url: redisUrl });
  parts.defer(() => queues.close());
  // Others take over at once, instead of after the silence and the stall check that a lost host needs.
  const release = async (id: string): Promise<void> => {
    await forgetPresence(presence, id);
    await queues.releaseJobs(id);
  };
  const forget = (id: string) => {
    release(id).catch((error: unknown) => onEvent(`could not release what ${id} had: ${String(error)}`));
  };
  const supervise = supervisor({ config: { ...config, port }, redisUrl, logDir, forget, onEvent });
  const server = supervise("server", "server");
  const workers = Array.from({ length: config.workers }, (_, i) => supervise("worker", `worker-${i + 1}`));
  parts.defer(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await server.stop();
  });
  // The server has the processor to itself until it listens; the workers follow.
  await server.start();
  await until(async () => giveUp(server, join(logDir, "server.log")) || answers(`${url}/health/live`), {
    deadlineMs: LISTEN_DEADLINE_MS,
    signal,
    otherwise: () => neverReady("the server never", join(logDir, "server.log")),
  });
  await Promise.all(workers.map((worker) => worker.start()));
  const owned = parts.move();
  return {
    url,
    logDir,
    workersReady: (aborted) => waitForWorker({ url, config, logDir, workers, signal: aborted }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface SupervisorOptions {
  readonly config: Config;
  readonly redisUrl: string;
  readonly logDir: string;
  readonly forget: (id: string) => void;
  readonly onEvent: (line: string) => void;
}

function supervisor({ config, redisUrl, logDir, forget, onEvent }: SupervisorOptions) {
  return (kind: "server" | "worker", name: string) =>
    new SupervisedProcess({
      name,
      script: join(config.root, FOLDERS[kind], "main.ts"),
      newId: () => newProcessId(kind),
      environment: (id) => processEnvironment({ ...config, redisUrl, processId: id }),
      logFile: join(logDir, `${name}.log`),
      onDeath({ id, how, restartInMs }) {
        forget(id);
        onEvent(`${name} ended (${how}); starting it again in ${restartInMs} ms; log: ${join(logDir, `${name}.log`)}`);
      },
    });
}

const Workers = z.object({ items: z.array(z.object({ state: z.string() })) });

interface WorkerWait {
  readonly url: string;
  readonly config: Config;
  readonly logDir: string;
  readonly workers: readonly SupervisedProcess[];
  readonly signal: AbortSignal | undefined;
}

async function waitForWorker({ url, config, logDir, workers, signal }: WorkerWait): Promise<void> {
  const client = new Client({ url, token: await tokenOf(config) });
  const log = join(logDir, "worker-1.log");
  const running = async () => {
    for (const worker of workers) giveUp(worker, log);
    return (await client.get("/v1/workers", Workers)).items.some((worker) => worker.state === "running");
  };
  await until(running, {
    deadlineMs: WORKER_DEADLINE_MS,
    signal,
    otherwise: () => neverReady("no worker process", log),
  });
}

/** False, unless the process dies again and again: then there is nothing to wait for. */
function giveUp(child: SupervisedProcess, log: string): false {
  if (child.deaths >= HOPELESS_DEATHS) throw neverReady("a process keeps dying and never", log);
  return false;
}

function neverReady(what: string, log: string): CommandError {
  const tail = readTail(log);
  return new CommandError(
    EXIT.infra,
    `${what} became ready; the end of ${log}:\n${tail}`,
    "polygym doctor shows what is missing",
  );
}

function readTail(log: string): string {
  try {
    return readFileSync(log, "utf8").slice(-TAIL_CHARS);
  } catch {
    return "(no log)";
  }
}

/** True when something at `url` answers with success soon. */
export async function answers(url: string, headers: Record<string, string> = {}): Promise<boolean> {
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** The caller's token: configured, else the operator's in the home folder; null when there is none yet. */
export async function tokenOf(config: Config): Promise<string | null> {
  if (config.token !== null) return config.token;
  try {
    return (await readFile(join(config.home, "token"), "utf8")).trim();
  } catch {
    return null;
  }
}
