import { expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { startGym } from "../../bench/gym.ts";

const EPISODES = 256;
/** Places of each of two workers, fewer than episodes: idle ones must make room. */
const PLACES = 64;

test("one client opens 256 episodes before it steps any, and all end with their reward", {
  timeout: 300_000,
}, async () => {
  await using gym = await startGym({ workers: 2, episodesPerWorker: PLACES });
  const created = Array.from({ length: EPISODES }, () =>
    gym.client.episode("POST", "/v1/episodes", {
      task_id: "demo/leap-year",
      framework: "mini-swe.toolcall",
      run: "lockstep",
    }),
  );
  const ids = (await Promise.all(created)).map((answer) => answer.episode_id);
  expect(new Set(ids).size).toBe(EPISODES);
  for (const seq of [1, 2]) {
    const answers = await Promise.all(
      ids.map((id, i) =>
        gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(`echo ${i} >> n; cat n`) }),
      ),
    );
    expect(answers.map((answer) => answer.answers?.seq)).toEqual(ids.map(() => seq));
  }
  const ended = await Promise.all(
    ids.map((id) => gym.client.episode("POST", `/v1/episodes/${id}/finish`, { seq: 3, reason: "submitted" })),
  );
  expect(ended.map((answer) => answer.reward_status)).toEqual(ids.map(() => "final"));
  expect(ended.map((answer) => answer.reward)).toEqual(ids.map(() => 0));
});
