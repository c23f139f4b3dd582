import type { EpisodeRecord, EpisodeState, Outcome } from "./episode.ts";
import type { EpisodeEvent, EventType } from "./events.ts";
import type { Digest, EpisodeId, JobId, TaskId } from "./ids.ts";
import type { BackgroundJob, ImportedVersion, TokenRecord } from "./records.ts";
import type { Verdict } from "./verifier.ts";

/**
 * The store port (runtime.md §3): episode records with compare-and-set, append-only events and verdicts, blobs. The truth;
 * queues and mailboxes are rebuilt from it. Every backend passes test/contract/store.ts. All methods throw GymError
 * `store_failed` when the medium fails; nothing is half done then.
 */

export interface EpisodeFilter {
  readonly run?: string | undefined;
  readonly state?: EpisodeState | undefined;
  readonly outcome?: Outcome | undefined;
  readonly task?: string | undefined;
  readonly framework?: string | undefined;
  /** `k=v`, exact. */
  readonly label?: string | undefined;
  /** Only episodes of this token, beside those of runs shared with it. Undefined: everybody's. */
  readonly owner?: string | undefined;
  /** Leave sealed environments out. */
  readonly withoutSealed?: boolean | undefined;
  /** Only episodes that a script drives, or only those from outside. */
  readonly scripted?: boolean | undefined;
}

export interface EpisodePage {
  readonly items: readonly EpisodeRecord[];
  /** Opaque; null on the last page. */
  readonly next: string | null;
}

export interface EpisodeCounts {
  readonly total: number;
  readonly state: Readonly<Partial<Record<EpisodeState, number>>>;
  readonly outcome: Readonly<Partial<Record<Outcome, number>>>;
}

/** The compare of a compare-and-set: what the record must still say. */
export interface RecordGuard {
  readonly term: number;
  /** (Default: any state but done) */
  readonly states?: readonly EpisodeState[];
  /** (Default: any owner) */
  readonly worker?: string;
}

/** Fields an owner may set. `updated_at` is the store's. */
export type EpisodePatch = Partial<
  Omit<EpisodeRecord, "episode_id" | "owner" | "environment" | "limits" | "seed" | "created_at" | "updated_at" | "term">
>;

export interface EpisodeStore {
  /**
   * Makes the record. When the id is taken it answers the existing record, and whether `bodyDigest` is the same as the one
   * it was made with. Throws a ProblemError `quota` and makes nothing when its owner has `maxOpen` episodes that have not
   * ended: counted and made in one, so that no number of calls at once gets past it. (Default: no bound)
   */
  createEpisode(
    record: EpisodeRecord,
    bodyDigest: Digest,
    maxOpen?: number,
  ): Promise<{ created: boolean; record: EpisodeRecord; sameBody: boolean }>;
  episode(id: EpisodeId): Promise<EpisodeRecord | null>;
  /** Newest first. (Default limit: 100, at most 1,000) */
  episodes(
    filter: EpisodeFilter,
    page: { after?: string | undefined; limit?: number | undefined },
  ): Promise<EpisodePage>;
  counts(filter: EpisodeFilter): Promise<EpisodeCounts>;
  /**
   * Episodes in these states whose record has not changed for `olderThanMs`: food for the sweeper. With `scripted` only those
   * that a script drives. (Default: all)
   */
  unfinished(
    states: readonly EpisodeState[],
    olderThanMs: number,
    only?: { readonly scripted: true },
  ): Promise<EpisodeRecord[]>;
  /** Parked episodes that nobody has acted on for their `idle_timeout_s`. Costs nothing for those that are not due. */
  abandoned(): Promise<EpisodeRecord[]>;
  /**
   * Makes `worker` the owner under term `expected + 1` and the state `booting`. Null when the term has moved on or the episode
   * is verifying or done. Throws a ProblemError `quota` and grants nothing when its owner has `maxLive` other episodes that are
   * booting, ready or running: counted and granted in one. (Default: no bound)
   */
  grantTerm(id: EpisodeId, worker: string, expected: number, maxLive?: number): Promise<EpisodeRecord | null>;
  /** Unfinished episodes with `pending_reason: quota`, of this owner or of all; who waits longest first. (Default limit: 1,000) */
  overQuota(owner?: string, limit?: number): Promise<EpisodeRecord[]>;
  /** Compare-and-set. Null when the guard does not hold: stop, somebody else owns it. */
  update(id: EpisodeId, guard: RecordGuard, patch: EpisodePatch): Promise<EpisodeRecord | null>;
  /**
   * Done episodes whose log may lack its end, since `olderThanMs` or longer: who ended them may have died before it wrote it.
   * Every episode that ends is one until {@link closeLogs}. At most 500, the oldest first.
   */
  unclosed(olderThanMs: number): Promise<EpisodeRecord[]>;
  /** Says that the logs of these episodes have their end. */
  closeLogs(ids: readonly EpisodeId[]): Promise<void>;
  /** Runs with their counts, latest first. */
  runs(filter: EpisodeFilter): Promise<{ run: string; counts: EpisodeCounts; last_at: number }[]>;
  /** Done episodes in the order in which they ended. */
  completions(
    filter: EpisodeFilter,
    page: { after?: string | undefined; limit?: number | undefined },
  ): Promise<EpisodePage & { cursors: readonly string[] }>;
  /** False when this (episode, verifier, version, attempt) is already there. */
  addVerdict(id: EpisodeId, verdict: Verdict): Promise<boolean>;
  verdicts(id: EpisodeId): Promise<Verdict[]>;
}

export interface EventPage {
  /** After {@link foldTerms}: gap-free (but for `types`) and without what a fenced-off owner wrote. */
  readonly events: readonly EpisodeEvent[];
  /** Number of the last event given; null when there are no more. */
  readonly next: number | null;
}

export interface EventStore {
  /** Resolves when the events are durable (fdatasync'ed). Calls made meanwhile share one sync. */
  append(events: readonly EpisodeEvent[]): Promise<void>;
  /**
   * Events with n above `after`, of every process that wrote some; with `types`, only those. Events of any process are seen
   * as soon as they are durable. (Defaults: from the start, 32 MiB, all types)
   */
  events(
    id: EpisodeId,
    options?: { after?: number | undefined; maxBytes?: number | undefined; types?: readonly EventType[] | undefined },
  ): Promise<EventPage>;
}

export interface BlobStore {
  /** Idempotent. */
  putBlob(data: Uint8Array): Promise<Digest>;
  /** Null when there is none. */
  blob(digest: Digest): Promise<Uint8Array | null>;
}

/**
 * Saved workspaces of episodes. One belongs to the episode that saved it, until it is shared with others or nobody goes on
 * from it any more.
 */
export interface SnapshotStore {
  /** As {@link BlobStore.putBlob}. No two may be the same: what tells them apart is in `data`. */
  putSnapshot(data: Uint8Array): Promise<Digest>;
  /** Keeps it for good, for others who go on from it. False when it was dropped: the log names a later one by now. */
  shareSnapshot(digest: Digest): Promise<boolean>;
  /** Takes it out, unless it is shared, or was not put as a snapshot. Idempotent. */
  dropSnapshot(digest: Digest): Promise<void>;
}

export type IdempotencyState =
  | { readonly status: "new" }
  | { readonly status: "running" }
  | { readonly status: "done"; readonly httpStatus: number; readonly body: string }
  | { readonly status: "other_body" };

/** What an operator may stop: a queue, by its name, or a worker, by its id. */
export type Halted = "queue" | "worker";

export interface AdminStore {
  addToken(token: TokenRecord): Promise<void>;
  /** By sha256 of the secret; null when unknown or revoked. */
  tokenByHash(hash: string): Promise<TokenRecord | null>;
  tokens(): Promise<TokenRecord[]>;
  revokeToken(id: string): Promise<boolean>;
  /** A one-time login for a browser. */
  putLogin(hash: string, tokenId: string, expiresAt: number): Promise<void>;
  /** The token's id, once; null when unknown, used or expired. */
  takeLogin(hash: string, now: number): Promise<string | null>;
  /** Kept 24 h. `new` reserves the key for the caller, who then finishes or forgets it. */
  idempotency(owner: string, route: string, key: string, bodyDigest: Digest): Promise<IdempotencyState>;
  finishIdempotency(owner: string, route: string, key: string, httpStatus: number, body: string): Promise<void>;
  forgetIdempotency(owner: string, route: string, key: string): Promise<void>;
  putJob(job: BackgroundJob): Promise<void>;
  job(id: JobId): Promise<BackgroundJob | null>;
  jobs(): Promise<BackgroundJob[]>;
  /**
   * Keeps an operator's word that nothing is taken from a queue, or by a worker, until {@link letGoOn}. Redis and the workers
   * are brought to it, also after they forgot. Idempotent.
   */
  halt(kind: Halted, name: string): Promise<void>;
  /** Idempotent. */
  letGoOn(kind: Halted, name: string): Promise<void>;
  halted(kind: Halted): Promise<string[]>;
  /** The installation's secret for seeds and cookies; made on first use, the same for every process. */
  secret(): Promise<string>;
}

/** Imported tasks, by version. A version is never lost: episodes pin it. */
export interface TaskStore {
  /** Makes this version of the task its latest, also one that was there before. */
  putTask(task: ImportedVersion): Promise<void>;
  /** Null when that version was never imported. */
  taskVersion(id: TaskId, version: Digest): Promise<ImportedVersion | null>;
  /** What was put after `cursor` (0: from the start), in that order, at most 1,000; a version put twice comes once, later. */
  tasksSince(cursor: number): Promise<(ImportedVersion & { readonly cursor: number })[]>;
}

export interface Store
  extends EpisodeStore,
    EventStore,
    BlobStore,
    SnapshotStore,
    AdminStore,
    TaskStore,
    AsyncDisposable {
  /** Writes what is under way and closes. Idempotent. */
  close(): Promise<void>;
}
