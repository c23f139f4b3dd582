import { startGym } from "../gym.ts";
import { COLLECTING, serviceMemory, slope, totalKb } from "../memory.ts";
import { percentile, sample } from "../report.ts";
import { create, step } from "./acting.ts";

const LOOK_EVERY = 50;
/** Calls until what is made once is made. */
const WARM_CALLS = 100;
const EDGE = 100;

/** One episode of very many calls: the last must cost what the first did. */
export async function longEpisode(calls: number) {
  await using gym = await startGym({ environment: COLLECTING });
  const { episode_id: id } = await create(gym, { limits: { steps: 10_000, wall_s: 86_400 } });
  const memory: { x: number; y: number }[] = [];
  const own: number[] = [];
  const latencies: number[] = [];
  let errors = 0;
  for (let done = 0; done < calls; done += LOOK_EVERY) {
    const portion = await sample(Math.min(LOOK_EVERY, calls - done), 1, async (index) => {
      const seq = done + index + 1;
      const { timing } = await step(gym, id, seq, `echo ${seq} >> log.txt; tail -1 log.txt`);
      if (timing.own_ms !== null) own.push(timing.own_ms);
    });
    latencies.push(...portion.latencies);
    errors += portion.errors;
    if (done >= WARM_CALLS) memory.push({ x: done, y: totalKb(await serviceMemory(gym.pid)) });
  }
  return {
    calls: latencies.length,
    errors,
    step_p50_first_100_ms: percentile(latencies.slice(0, EDGE), 0.5),
    step_p50_last_100_ms: percentile(latencies.slice(-EDGE), 0.5),
    own_p50_ms: percentile(own, 0.5),
    /** KiB for each call. */
    rss_slope: Math.round(slope(memory) * 100) / 100,
  };
}
