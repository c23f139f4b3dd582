import { startGym } from "../gym.ts";
import { sample } from "../report.ts";
import { create, step } from "./acting.ts";

const ROUNDS = 2;

/** One client opens more than the bound before it steps any, then steps all in lockstep to their rewards. */
export async function lockstep({ bound, opened }: { readonly bound: number; readonly opened: number }) {
  await using gym = await startGym({ episodesPerWorker: bound });
  const ids: string[] = [];
  const created = await sample(opened, opened, async (index) => {
    ids[index] = (await create(gym)).episode_id;
  });
  let answered = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const stepped = await sample(opened, opened, async (index) => {
      await step(gym, ids[index] ?? "", round, `echo ${index}`);
    });
    answered += stepped.latencies.length;
  }
  let finished = 0;
  const ended = await sample(opened, opened, async (index) => {
    const body = { seq: ROUNDS + 1, reason: "submitted" };
    const answer = await gym.client.episode("POST", `/v1/episodes/${ids[index]}/finish`, body);
    if (answer.reward_status === "final") finished++;
  });
  return {
    bound,
    opened: created.latencies.length,
    steps: answered,
    finished,
    open_ms: Math.round(created.wallMs),
    finish_ms: Math.round(ended.wallMs),
  };
}
