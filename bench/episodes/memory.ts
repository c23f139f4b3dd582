import { eventually, type Gym, startGym } from "../gym.ts";
import { COLLECTING, type ServiceMemory, serviceMemory, slope, totalKb } from "../memory.ts";
import { sample } from "../report.ts";
import { create, snapshot, step } from "./acting.ts";

const LIVE = 200;
/** Parked in portions, so that how many live at a time stays the same while the number of parked ones grows. */
const PORTION = 50;
const PORTIONS = 30;
/** The first portions fill what is made once: code, pools, buffers. */
const WARM_PORTIONS = 10;
const AT_ONCE = 16;

/**
 * Memory of our own processes for each episode: a live one beside what runs in its sandbox, a parked one in Redis and
 * processes together. The growth with the number of episodes, not a difference of two looks.
 */
export async function memory() {
  await using gym = await startGym({ environment: COLLECTING });
  const parked: { episodes: number; memory: ServiceMemory }[] = [];
  for (let portion = 1; portion <= PORTIONS; portion++) {
    const ids = await open(gym, PORTION);
    await sample(PORTION, AT_ONCE, async (index) => void (await snapshot(gym, ids[index] ?? "")));
    await eventually(async () => (await gym.workers()).every((worker) => worker.live === 0), 60_000, "parking");
    if (portion > WARM_PORTIONS) parked.push({ episodes: portion * PORTION, memory: await serviceMemory(gym.pid) });
  }
  const before = await serviceMemory(gym.pid);
  await open(gym, LIVE);
  const live = await serviceMemory(gym.pid);
  return {
    live_kb: Math.round((totalKb(live) - totalKb(before)) / LIVE),
    parked_kb: growth(parked, totalKb),
    live_by_process_kb: byProcess((of) => Math.round((of(live) - of(before)) / LIVE)),
    parked_by_process_kb: byProcess((of) => growth(parked, of)),
  };
}

type Share = (memory: ServiceMemory) => number;

const byProcess = (figure: (of: Share) => number): ServiceMemory => ({
  server: figure((memory) => memory.server),
  workers: figure((memory) => memory.workers),
  redis: figure((memory) => memory.redis),
  sandboxes: figure((memory) => memory.sandboxes),
});

const growth = (looks: readonly { episodes: number; memory: ServiceMemory }[], of: Share): number =>
  Math.round(slope(looks.map(({ episodes, memory }) => ({ x: episodes, y: of(memory) }))) * 10) / 10;

async function open(gym: Gym, count: number): Promise<string[]> {
  const ids: string[] = [];
  await sample(count, AT_ONCE, async (index) => {
    const { episode_id: id } = await create(gym);
    ids[index] = id;
    await step(gym, id, 1, "export GREETING=hi; cd /tmp");
  });
  return ids;
}
