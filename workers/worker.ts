import type { Logger } from "pino";
import type { EpisodeId } from "../core/ids.ts";
import type { QueueName } from "../core/jobs.ts";
import type { WorkerMail } from "../core/mail.ts";
import type { SandboxProvider } from "../core/sandbox.ts";
import { ImageStore } from "../docker/image-store/store.ts";
import { frameworks, policies } from "../environments/catalog.ts";
import { openSharedCatalog } from "../environments/tasks/shared-catalog.ts";
import { steadyNow } from "../platform/clock.ts";
import type { Config } from "../platform/config.ts";
import { openImageBoard } from "../platform/image-board.ts";
import { openMailbox, readMailbox } from "../platform/mailbox.ts";
import { type Announcement, announce } from "../platform/presence.ts";
import { openQueues, type QueueWorker, workQueue } from "../platform/queues.ts";
import { connectRedis, type Redis } from "../platform/redis.ts";
import { openStore } from "../platform/store/open.ts";
import { verifiers } from "../verifiers/catalog.ts";
import { ServerPool } from "../verifiers/clean-room/server-pool.ts";
import { importTasks, validateTasks } from "./background.ts";
import { Bases } from "./bases.ts";
import { completeLogs } from "./closing.ts";
import type { WorkerDeps } from "./deps.ts";
import { type Describer, describer } from "./describer.ts";
import { LiveEpisodes } from "./episode/live.ts";
import { runEpisode } from "./episode/run.ts";
import { makeRoomInShares } from "./episode/share.ts";
import { forgetDeadWorkers, isHalted, restoreHalts, toldState } from "./halts.ts";
import { hinting } from "./hints.ts";
import { workOnImages } from "./images/build.ts";
import { ImageGate } from "./images/gate.ts";
import { tendImages } from "./images/tend.ts";
import { Intake } from "./intake.ts";
import { reapEpisodes, WorkerCensus } from "./reaper.ts";
import { verifyEpisode } from "./verify.ts";
import { verifySubmission } from "./verify-request.ts";

const TEND_EVERY_MS = 1_000;
/** After this long without a round to its end others may own what lives here: the census counts an owner as lost after 4 s. */
const CUT_OFF_MS = 4_000;
/** An episode that waits this long for its policy gives up its sandbox (api.md §2). */
const PARK_AFTER_MS = 60_000;
/** The same while others wait for a place. */
const PARK_UNDER_PRESSURE_MS = 100;
const MAKE_ROOM_EVERY_MS = 100;
const REAP_SANDBOXES_EVERY_MS = 30_000;
const TEND_IMAGES_EVERY_MS = 20_000;

export interface WorkerOptions {
  readonly config: Config;
  readonly redisUrl: string;
  readonly provider: SandboxProvider;
  readonly log: Logger;
}

/** What this process is connected to. */
async function openDeps({ config, redisUrl, provider, log }: WorkerOptions): Promise<{
  readonly deps: WorkerDeps;
  readonly live: LiveEpisodes;
  readonly redis: Redis;
  close(): Promise<void>;
}> {
  const workerId = config.processId;
  const redis = connectRedis(redisUrl);
  const store = await openStore({
    url: config.storeUrl,
    blobs: config.blobs,
    dir: config.storeDir,
    processId: workerId,
    log,
  });
  const queues = openQueues({ url: redisUrl });
  const mailbox = openMailbox({ redis, blobs: store });
  const imageStore = await ImageStore.open({ ...config, tier: provider.tier });
  const images = new ImageGate({ store: imageStore, board: openImageBoard({ redis }), queues });
  const deps: WorkerDeps = {
    workerId,
    store,
    queues,
    mailbox: hinting(mailbox, log),
    provider,
    bases: new Bases(provider, images),
    images,
    servers: new ServerPool(),
    tasks: openSharedCatalog({ home: config.home, store }),
    frameworks,
    verifiers,
    policies,
    saving: { steps: config.saveEverySteps, ms: config.saveEveryS * 1000, inPlace: provider.freezesInPlace },
    livePerToken: config.livePerToken,
    egress: config.egress,
    log,
  };
  const close = async () => {
    await Promise.all([queues.close(), mailbox.close(), store.close(), provider.close()]);
    redis.disconnect();
  };
  return { deps, live: new LiveEpisodes(mailbox), redis, close };
}

/** Composition root 1: one worker process. Dispose it to stop: live episodes are parked or left to other owners. */
export async function startWorker(options: WorkerOptions): Promise<AsyncDisposable> {
  const { config, redisUrl, provider, log } = options;
  const { deps, live, redis, close } = await openDeps(options);
  const { workerId } = deps;
  await provider.reap();
  const judging = new Set<EpisodeId>();
  // Before the first job is taken: Redis may have come back empty.
  await restoreHalts(deps);
  const builds = startBuilds(deps, config, redisUrl);
  const intake = new Intake([...startProcessors(deps, { live, judging }, config, redisUrl), builds], live);
  const describing = await describer(deps, { live, intake }, config);
  const presence = announce({ redis, describe: describing.describe });
  const mail = readMailbox({
    url: redisUrl,
    kind: "worker",
    id: workerId,
    blobs: deps.store,
    log,
    onMail: (letter) => receive(letter, { live, intake, presence, log }),
  });
  const census = new WorkerCensus(redis, workerId);
  const reap = async () => {
    await reapEpisodes(deps, { census, owns: (id) => live.owns(id) || judging.has(id) });
    await restoreHalts(deps);
    await intake.turn(await toldState(deps));
    if (!census.leads()) return;
    await completeLogs(deps);
    await forgetDeadWorkers(deps, redis);
  };
  await reap();
  await tendImages(deps, config);
  const timers = startTimers(deps, config, { live, intake, describing, reap });
  log.info({ workerId, tier: provider.tier, capacity: config.episodesPerWorker }, "worker ready");
  const stop = async () => {
    for (const timer of timers) timer[Symbol.dispose]();
    await intake.leave();
    await mail.close();
    // A build takes minutes: another worker goes on with it from the layers that are there.
    await builds.close(true);
    await intake.close();
    await Promise.all([presence.close(), deps.servers[Symbol.asyncDispose]()]);
    describing[Symbol.dispose]();
    await close();
  };
  return { [Symbol.asyncDispose]: stop };
}

interface Tended {
  readonly live: LiveEpisodes;
  readonly intake: Intake;
  readonly describing: Describer;
  readonly reap: () => Promise<void>;
}

function startTimers(deps: WorkerDeps, config: Config, { live, intake, describing, reap }: Tended): Disposable[] {
  const { log } = deps;
  let tendedAt = steadyNow();
  return [
    every(TEND_EVERY_MS, log, async () => {
      if (steadyNow() - tendedAt > CUT_OFF_MS) await live.leaveStale(deps.store);
      await describing.refresh();
      await live.parkIdle(PARK_AFTER_MS, config.episodesPerWorker);
      await reap();
      tendedAt = steadyNow();
    }),
    every(MAKE_ROOM_EVERY_MS, log, async () => {
      await intake.tend();
      await makeRoom(deps, live, config);
      await makeRoomInShares(deps, live);
    }),
    every(REAP_SANDBOXES_EVERY_MS, log, async () => {
      await deps.bases.tend();
      await deps.provider.reap();
    }),
    every(TEND_IMAGES_EVERY_MS, log, () => tendImages(deps, config)),
  ];
}

interface Recipients {
  readonly live: LiveEpisodes;
  readonly intake: Intake;
  readonly presence: Announcement;
  readonly log: Logger;
}

async function receive(letter: WorkerMail, { live, intake, presence, log }: Recipients): Promise<void> {
  if (letter.type !== "intake") return live.deliver(letter);
  await intake.turn(letter.state);
  log.info({ state: letter.state }, "worker told what to take");
  await presence.refresh();
}

/** While episodes wait for a place, parks as many of the longest idle. */
async function makeRoom(deps: WorkerDeps, live: LiveEpisodes, config: Config): Promise<void> {
  if (live.size < config.episodesPerWorker) return;
  const { waiting } = (await deps.queues.counts()).episode;
  if (waiting > 0) await live.parkIdle(PARK_UNDER_PRESSURE_MS, waiting);
}

/** What this process works on now. */
interface Work {
  readonly live: LiveEpisodes;
  readonly judging: Set<EpisodeId>;
}

function startProcessors(deps: WorkerDeps, { live, judging }: Work, config: Config, url: string): QueueWorker[] {
  const options = <Q extends QueueName>(queue: Q) => queueOptions(deps, queue, url);
  return [
    workQueue({ ...options("episode"), concurrency: config.episodesPerWorker }, (job, signal) =>
      runEpisode(deps, live, job, signal),
    ),
    workQueue({ ...options("verify"), concurrency: config.verifiersPerWorker }, (job, signal) =>
      job.kind === "episode"
        ? noted(judging, job.episode_id, () => verifyEpisode(deps, job, signal))
        : verifySubmission(deps, job, signal),
    ),
    workQueue({ ...options("import"), concurrency: 1 }, (job, signal) => importTasks(deps, config.home, job, signal)),
    workQueue({ ...options("validation"), concurrency: 1 }, (job, signal) => validateTasks(deps, job, signal)),
  ];
}

async function noted<T>(set: Set<T>, item: T, work: () => Promise<void>): Promise<void> {
  set.add(item);
  try {
    await work();
  } finally {
    set.delete(item);
  }
}

function startBuilds(deps: WorkerDeps, config: Config, url: string): QueueWorker {
  return workQueue({ ...queueOptions(deps, "build", url), concurrency: 1 }, (job, signal) =>
    workOnImages(deps, config, job, signal),
  );
}

const queueOptions = <Q extends QueueName>(deps: WorkerDeps, queue: Q, url: string) => ({
  url,
  queue,
  log: deps.log,
  processId: deps.workerId,
  halted: () => isHalted(deps, queue),
  onLockLost: (jobId: string) => deps.log.warn({ jobId }, "lock lost: the job is stopped here"),
});

/** Repeats `work`, never two at a time; a failure is logged and the next round comes. */
function every(ms: number, log: Logger, work: () => Promise<void>): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const round = () => {
    work()
      .catch((error: unknown) => log.warn({ err: error }, "periodic work failed"))
      .finally(() => {
        if (!stopped) timer = setTimeout(round, ms);
      });
  };
  timer = setTimeout(round, ms);
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
