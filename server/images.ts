import { hostname } from "node:os";
import { ProblemError } from "../core/errors.ts";
import { type JobId, newJobId } from "../core/ids.ts";
import {
  type BuildBody,
  type CollectBody,
  type ImageBuild,
  type ImageItem,
  type ImageLog,
  isTaskImage,
} from "../core/images.ts";
import type { BuildJob } from "../core/jobs.ts";
import type { Presence } from "../core/mail.ts";
import type { BackgroundJob } from "../core/records.ts";
import type { Task } from "../core/task.ts";
import type { PlacedBuild } from "../platform/image-board.ts";
import type { Caller } from "./auth/caller.ts";
import { answerOf, type JobAnswer, putJob } from "./jobs.ts";
import type { Parts } from "./parts.ts";

/** A machine of which a worker lives. */
interface Machine {
  readonly host: string;
  readonly store: string;
}

/** What lies on the machines, and the builds that are not over or have failed. */
export async function listImages(parts: Parts): Promise<{ items: ImageItem[]; builds: ImageBuild[] }> {
  const builds = (await parts.images.builds()).map(({ build }) => build);
  return {
    items: (await parts.images.images()).sort((a, b) => (`${a.name} ${a.host}` < `${b.name} ${b.host}` ? -1 : 1)),
    builds: builds.filter(({ state }) => state !== "done"),
  };
}

export async function startBuild(parts: Parts, caller: Caller, body: BuildBody): Promise<JobAnswer> {
  const task = body.task_id === undefined ? null : (await parts.cells.task(caller, body.task_id)).task;
  const image = task?.image ?? body.name ?? "";
  const machine = await machineFor(parts, body.host);
  if (task?.context == null) await checkName(parts, image);
  const reason = await imageMisfit(parts, { image });
  if (reason !== null) throw new ProblemError("invalid_request", reason, "polygym doctor says what this machine lacks");
  const owner = task?.context == null ? null : { id: task.id, version: task.version };
  return await start(parts, caller, {
    kind: "build",
    job_id: newJobId(),
    store: machine.store,
    image,
    task: owner,
    rebuild: body.rebuild,
  });
}

export async function startCollection(parts: Parts, caller: Caller, body: CollectBody): Promise<JobAnswer> {
  const { store } = await machineFor(parts, body.host);
  return await start(parts, caller, {
    kind: "collect",
    job_id: newJobId(),
    store,
    keep_bytes: body.keep_bytes ?? null,
  });
}

/** Stops the build of an image that waits or runs. Its job ends `failed` and says that it was cancelled. */
export async function cancelBuild(parts: Parts, name: string): Promise<{ name: string; cancelled: JobId[] }> {
  const stores = new Set((await parts.occupancy.workers()).flatMap(({ images }) => images?.store ?? []));
  const found = await Promise.all([...stores].map((store) => parts.queues.liveBuild(store, name)));
  const live = found.filter((id) => id !== null);
  if (live.length === 0)
    throw new ProblemError("not_found", `no build of image ${name} waits or runs`, "GET /v1/images lists builds");
  for (const id of live) await parts.images.cancel(id);
  return { name, cancelled: live };
}

export async function readBuildLog(
  parts: Parts,
  name: string,
  { after, host }: { after: number; host?: string | undefined },
): Promise<ImageLog> {
  const found = (await buildsOf(parts, name)).find(({ build }) => host === undefined || build.host === host);
  if (found === undefined)
    throw new ProblemError("not_found", `no build of image ${name} is remembered`, "POST /v1/images starts one");
  const { build, store } = found;
  return { name, host: build.host, state: build.state, ...(await parts.images.readLog(store, name, after)) };
}

/** Latest first. */
async function buildsOf(parts: Parts, name: string): Promise<PlacedBuild[]> {
  return (await parts.images.builds())
    .filter(({ build }) => build.name === name)
    .sort((a, b) => b.build.at - a.build.at);
}

/** Why no worker here can have this image, or null. What is built already needs no builder. */
export async function imageMisfit(
  parts: Pick<Parts, "occupancy">,
  { image }: Pick<Task, "image">,
): Promise<string | null> {
  const workers = (await parts.occupancy.workers()).filter((worker) => worker.images !== undefined);
  if (image === "host" || workers.length === 0) return null;
  const can = (worker: Presence): boolean => {
    const { names = [], builders = [] } = worker.images ?? {};
    if (isTaskImage(image)) return names.includes(image) || builders.includes("engine");
    return worker.tier === "docker" || (names.includes(image) && builders.length > 0);
  };
  if (workers.some(can)) return null;
  if (isTaskImage(image))
    return `its image is made from its own Dockerfile, and no worker here has a container engine: start one (POLYGYM_DOCKER_HOST)`;
  return workers.some((worker) => worker.images?.names.includes(image))
    ? `image ${image} cannot be built here: it needs a worker that runs as root, or a container engine`
    : `there is no image ${image} here`;
}

/** How the image that an episode waits for stands, in words. */
export async function imageProgress(parts: Parts, image: string): Promise<string> {
  const [latest] = await buildsOf(parts, image);
  if (latest === undefined || latest.build.state !== "running") return `image ${image} waits to be built`;
  const { build, store } = latest;
  const last = await parts.images.lastLine(store, image);
  const since = new Date(build.at).toISOString();
  return `image ${image} is being built on ${build.host} since ${since}${last === null ? "" : `: ${last}`}`;
}

async function checkName(parts: Parts, name: string): Promise<void> {
  const known = new Set((await parts.occupancy.workers()).flatMap((worker) => worker.images?.names ?? []));
  known.delete("host");
  if (known.has(name) && !isTaskImage(name)) return;
  const names = [...known].filter((one) => !isTaskImage(one)).join(", ");
  throw new ProblemError("not_found", `there is no image ${name} to build`, `choose from: ${names}; or give a task_id`);
}

/** The named one, else the server's own, else any. */
async function machineFor(parts: Parts, wanted: string | undefined): Promise<Machine> {
  const workers = await parts.occupancy.workers();
  const machines = workers.flatMap(({ host, images }) => (images === undefined ? [] : [{ host, store: images.store }]));
  const found =
    machines.find(({ host }) => host === (wanted ?? hostname())) ?? (wanted === undefined ? machines[0] : undefined);
  if (found !== undefined) return found;
  if (machines.length === 0) throw new ProblemError("unavailable", "no worker is alive", "start one: polygym up");
  const hosts = [...new Set(machines.map(({ host }) => host))].join(", ");
  throw new ProblemError("not_found", `no worker lives on ${wanted}`, `choose from: ${hosts}`);
}

/** The job that does the work, which may be one that was there. */
async function start(parts: Parts, caller: Caller, job: BuildJob): Promise<JobAnswer> {
  const own = await putJob(parts, caller, { kind: "build", job_id: job.job_id });
  const live = await parts.queues.addBuild(job);
  if (live === own.job_id) return answerOf(own);
  const joined: BackgroundJob = { ...own, state: "done", report: { joined: live }, updated_at: Date.now() };
  await parts.store.putJob(joined);
  return answerOf((await parts.store.job(live)) ?? { ...own, job_id: live });
}
