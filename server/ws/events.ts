import type { EpisodeRecord } from "../../core/episode.ts";
import type { JsonObject } from "../../core/json.ts";
import { episodeAnswer, verdictsFor } from "../answers.ts";
import { type Caller, seesEpisode, seesTrajectory, seesVerdict } from "../auth/caller.ts";
import type { Notice } from "../hub.ts";
import type { Parts } from "../parts.ts";
import { type ViewedEvent, viewedEvents } from "../trajectory.ts";
import type { ServerFrame } from "./frames.ts";

export type EventFrame = Extract<ServerFrame, { event: string }>;

/** A notice as this caller may see it; null: not at all. Asks the store for what the notice does not say. */
export async function eventOf(
  parts: Parts,
  caller: Caller,
  notice: Notice,
  known: EpisodeRecord | null,
): Promise<EventFrame | null> {
  const record = known ?? (await parts.store.episode(notice.episode_id));
  if (record === null || !seesEpisode(caller, record)) return null;
  const head = { episode_id: notice.episode_id, cursor: notice.cursor, state: notice.state };
  switch (notice.event) {
    case "done": {
      const ended = await parts.store.episode(notice.episode_id);
      return ended === null ? null : doneEvent(parts, caller, ended, notice.cursor);
    }
    case "state":
      return { event: "state", ...head };
    case "observation":
      return seesTrajectory(caller, record) ? { event: "observation", ...head, observation: notice.data } : null;
    case "progress":
      return seesTrajectory(caller, record) ? { event: "progress", ...head, data: notice.data } : null;
  }
}

/** Hidden verdicts are events before the end: the caller's numbers do not count them. */
export async function doneEvent(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  cursor: number,
): Promise<EventFrame> {
  const verdicts = await verdictsFor(parts, record);
  const hidden = verdicts.filter((verdict) => !seesVerdict(caller, verdict.role)).length;
  const result = episodeAnswer({ record, caller, verdicts, pendingReason: null, activeAt: record.updated_at });
  return { event: "done", episode_id: record.episode_id, cursor: cursor - hidden, state: record.state, result };
}

/** What happened since `after`, as the events that were sent then. */
export async function* replayed(
  parts: Parts,
  caller: Caller,
  record: EpisodeRecord,
  after: number,
): AsyncGenerator<EventFrame> {
  if (!seesTrajectory(caller, record)) return;
  for await (const event of viewedEvents(parts, caller, record)) {
    if (event.n <= after) continue;
    for (const frame of framesOf(record, event)) yield frame;
    if (event.body.type === "episode.ended") {
      const ended = await parts.store.episode(record.episode_id);
      if (ended !== null) yield { ...(await doneEvent(parts, caller, ended, event.cursor)), cursor: event.n };
    }
  }
}

function framesOf(record: EpisodeRecord, { n, body }: ViewedEvent): EventFrame[] {
  const head = { event: "observation" as const, episode_id: record.episode_id, cursor: n };
  const observations: unknown[] =
    body.type === "framework.opened" ? [body.observation] : body.type === "step.observed" ? listOf(body) : [];
  return observations.map((observation) => ({ ...head, observation }));
}

const listOf = (body: JsonObject): unknown[] => (Array.isArray(body.observations) ? body.observations : []);

/** Whether a notice is news to somebody who was told everything up to `cursor`. */
export const isNews = (notice: Notice, cursor: number): boolean =>
  notice.event === "progress" || notice.event === "done" || notice.cursor > cursor;
