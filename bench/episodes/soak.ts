import { startGym } from "../gym.ts";
import { COLLECTING, serviceMemory, slope, totalKb } from "../memory.ts";
import { sample } from "../report.ts";
import { rollout } from "./acting.ts";

const AT_ONCE = 8;
const WARM = 200;
const LOOK_EVERY = 250;

/** Scripted episodes one after the other: memory must not grow with their number. */
export async function soak(episodes: number) {
  await using gym = await startGym({ environment: COLLECTING });
  await sample(Math.min(WARM, episodes), AT_ONCE, async () => void (await rollout(gym)));
  const memory = [{ x: 0, y: totalKb(await serviceMemory(gym.pid)) }];
  let rewards = 0;
  let errors = 0;
  const started = performance.now();
  for (let done = LOOK_EVERY; done <= episodes; done += LOOK_EVERY) {
    const portion = await sample(LOOK_EVERY, AT_ONCE, async () => {
      if ((await rollout(gym)).reward === 1) rewards++;
    });
    errors += portion.errors;
    memory.push({ x: done, y: totalKb(await serviceMemory(gym.pid)) });
  }
  const seconds = (performance.now() - started) / 1_000;
  return {
    episodes,
    rewards,
    errors,
    per_s: Math.round((episodes / seconds) * 10) / 10,
    rss_kb_per_1000: Math.round(slope(memory) * 1_000),
    rss_kb: memory.map((point) => Math.round(point.y)),
  };
}
