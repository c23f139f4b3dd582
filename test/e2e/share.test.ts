import { afterAll, beforeAll, expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { type GymClient, gymClient } from "../../bench/client.ts";
import { eventually, type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer, WhyAnswer } from "../../core/api.ts";

/** A token's share of places: what is over it waits, and others go first. */
const DEADLINE_MS = 120_000;
const SHARE = 2;
/** Longer than anything that a test looks at meanwhile. */
const BUSY = "sleep 6; echo done";

let gym: Gym;
beforeAll(async () => {
  gym = await startGym({ workers: 2, environment: { POLYGYM_LIVE_PER_TOKEN: String(SHARE) } });
}, DEADLINE_MS);
afterAll(async () => {
  await gym[Symbol.asyncDispose]();
}, DEADLINE_MS);

const trainer = async (): Promise<GymClient> => {
  const { token } = (await gym.client.request("POST", "/v1/tokens", { role: "trainer" })) as { token: string };
  return gymClient(gym.url, token);
};
const create = (client: GymClient, query = ""): Promise<EpisodeAnswer> =>
  client.episode("POST", `/v1/episodes${query}`, { task_id: "demo/leap-year", framework: "anthropic.bash-editor" });
const step = (client: GymClient, id: string, seq: number, command: string, query = ""): Promise<EpisodeAnswer> =>
  client.episode("POST", `/v1/episodes/${id}/step${query}`, { seq, action: bashStep(command) });
const said = (answer: EpisodeAnswer): unknown => answer.observations[0]?.messages[0]?.content;
const why = async (id: string): Promise<WhyAnswer> =>
  (await gym.client.request("GET", `/v1/episodes/${id}/why`)) as WhyAnswer; // the server's own schema
const waits = (id: string): Promise<void> =>
  eventually(async () => (await why(id)).pending_reason === "quota", DEADLINE_MS, "the word that it waits");

test("over its token's share an episode waits and says so, others go first, and places go to who waits longest", {
  timeout: DEADLINE_MS,
}, async () => {
  const [greedy, modest] = [await trainer(), await trainer()];
  const busy = [await create(greedy), await create(greedy)];
  const running = busy.map(({ episode_id: id }) => step(greedy, id, 1, BUSY));
  await eventually(
    async () => (await Promise.all(busy.map(({ episode_id }) => why(episode_id)))).every((w) => w.state === "running"),
    DEADLINE_MS,
    "both steps",
  );
  const waiting: string[] = [];
  for (let n = 0; n < 2; n++) {
    const { episode_id: id } = await create(greedy, "?wait_s=0");
    await waits(id);
    waiting.push(id);
  }
  const [third = "", fourth = ""] = waiting;
  expect(await greedy.episode("GET", `/v1/episodes/${third}?wait_s=0`)).toMatchObject({
    state: "queued",
    pending_reason: "quota",
  });
  expect(await why(fourth)).toMatchObject({
    state: "queued",
    what: expect.stringContaining("number 2 of 2 of its token"),
    hint: expect.stringContaining("the token's others"),
  });
  expect(await create(modest)).toMatchObject({ state: "ready" });
  expect((await Promise.all(running)).map(said)).toEqual(["done", "done"]);
  // Nobody acts in the first two any more: they are parked to make room, and come back by their next step.
  for (const id of waiting) expect(said(await step(greedy, id, 1, "echo here"))).toBe("here");
  for (const { episode_id } of busy) expect(said(await step(greedy, episode_id, 2, "echo back"))).toBe("back");
});

test("a client that steps more episodes in lockstep than its share finishes, and never has more live", {
  timeout: DEADLINE_MS,
}, async () => {
  const client = await trainer();
  const made = await Promise.all(Array.from({ length: 12 }, () => create(client)));
  const ids = made.map(({ episode_id }) => episode_id);
  for (const seq of [1, 2]) {
    const answers = await Promise.all(ids.map((id, i) => step(client, id, seq, `echo ${i} >> n; cat n | wc -l`)));
    expect(answers.map(said)).toEqual(ids.map(() => String(seq)));
  }
  const ended = ids.map((id) => client.episode("POST", `/v1/episodes/${id}/finish`, { seq: 3, reason: "submitted" }));
  expect((await Promise.all(ended)).map((answer) => answer.reward_status)).toEqual(ids.map(() => "final"));
  const moves = (await Promise.all(ids.map((id) => movesOf(client, id)))).flat();
  // A place that is left and taken within one millisecond: left first.
  moves.sort((a, b) => a.at - b.at || a.by - b.by);
  let live = 0;
  const counts = moves.map(({ by }) => {
    live += by;
    return live;
  });
  expect(live).toBe(0);
  expect(counts.length).toBeGreaterThan(2 * ids.length);
  expect(Math.max(...counts)).toBe(SHARE);
});

/** When it took a place and when it left one, from its log. */
async function movesOf(client: GymClient, id: string): Promise<{ at: number; by: number }[]> {
  const { items } = (await client.request("GET", `/v1/episodes/${id}/trajectory`)) as {
    items: { type: string; at: number }[];
  };
  return items.flatMap(({ type, at }) => {
    if (type === "term.granted") return [{ at, by: 1 }];
    return type === "episode.parked" || type === "submission.frozen" ? [{ at, by: -1 }] : [];
  });
}
