import { GymError } from "../../core/errors.ts";
import { newJobId } from "../../core/ids.ts";
import type { Task } from "../../core/task.ts";
import type { ImageStore } from "../../docker/image-store/store.ts";
import type { ImageBoard } from "../../platform/image-board.ts";
import { PostponeError, type Queues } from "../../platform/queues.ts";

/** A build that failed is tried again for whoever comes after so long; an operator's word is taken at once. */
const FAILURE_MS = 5 * 60_000;
/** A waiting job is woken when the build ends; this is for words that were lost. */
const LOOK_MS = 10_000;

export type ImageStanding =
  | { readonly status: "ready" }
  | { readonly status: "building" }
  | { readonly status: "failed"; readonly reason: string };

export interface ImageGateOptions {
  readonly store: ImageStore;
  readonly board: ImageBoard;
  readonly queues: Pick<Queues, "addBuild">;
}

/** Keeps jobs from taking a place before the image of their task is there, and has it built. */
export class ImageGate {
  readonly store: ImageStore;
  readonly board: ImageBoard;
  readonly #queues: Pick<Queues, "addBuild">;

  constructor({ store, board, queues }: ImageGateOptions) {
    this.store = store;
    this.board = board;
    this.#queues = queues;
  }

  /** Starts a build where one is needed and none is under way. */
  async standing(task: Task): Promise<ImageStanding> {
    const wanted = this.store.wanted(task);
    if (await this.store.isReady(wanted)) return { status: "ready" };
    const last = await this.board.build(this.store.id, wanted.name);
    const isFresh = last?.definition === wanted.definition && Date.now() - last.at < FAILURE_MS;
    if (isFresh && (last.state === "failed" || last.state === "cancelled"))
      return { status: "failed", reason: last.error ?? `the build of image ${wanted.name} was cancelled` };
    const build = {
      kind: "build" as const,
      job_id: newJobId(),
      store: this.store.id,
      image: wanted.name,
      task: wanted.context === null ? null : { id: task.id, version: task.version },
      rebuild: false,
    };
    await this.#queues.addBuild(build);
    return { status: "building" };
  }

  /** For a job that needs the image: it gives its place up until the image is built. */
  async require(task: Task): Promise<void> {
    if ((await this.standing(task)).status === "building")
      throw new PostponeError(`image ${task.image} is being built`, LOOK_MS);
  }

  /** Keeps the task's image until it is disposed. One whose build failed is `image_failed`. */
  async lease(task: Task): Promise<AsyncDisposable> {
    const standing = await this.standing(task);
    if (standing.status === "failed") throw new GymError("image_failed", standing.reason);
    return await this.store.lease(this.store.wanted(task));
  }
}
