import { startGym } from "../gym.ts";
import { percentile, sample } from "../report.ts";
import { create, snapshot, step } from "./acting.ts";

const MEASURED = 60;
/** The first ones warm the code up. */
const WARM = 10;

/** What the first step after parking costs, and a fork. One at a time: nobody else wants the processor. */
export async function revival() {
  await using gym = await startGym();
  const ids: string[] = [];
  for (let n = 0; n < WARM + MEASURED; n++) {
    const { episode_id: id } = await create(gym);
    await step(gym, id, 1, "export GREETING=hi; cd /tmp; echo text > /workspace/file");
    await snapshot(gym, id);
    ids.push(id);
  }
  const revive = async (id: string) => {
    const answer = await step(gym, id, 2, "echo $GREETING $PWD; cat /workspace/file");
    const said = JSON.stringify(answer.observations);
    if (!said.includes("hi /tmp\\ntext")) throw new Error(`it did not come back as it was: ${said.slice(0, 300)}`);
  };
  for (const id of ids.slice(0, WARM)) await revive(id);
  const revived = await sample(MEASURED, 1, (index) => revive(ids[index + WARM] ?? ""));
  const stepped = await sample(MEASURED, 1, async (index) => void (await step(gym, ids[index + WARM] ?? "", 3)));
  const parked = await sample(MEASURED, 1, async (index) => void (await snapshot(gym, ids[index + WARM] ?? "")));
  const forked = await sample(MEASURED, 1, async (index) => {
    await gym.client.request("POST", `/v1/episodes/${ids[index + WARM]}/fork`, { n: 1 });
  });
  return {
    revive_p50_ms: percentile(revived.latencies, 0.5),
    revive_p99_ms: percentile(revived.latencies, 0.99),
    revive_errors: revived.errors,
    /** The same step in a live one. */
    step_p50_ms: percentile(stepped.latencies, 0.5),
    park_p50_ms: percentile(parked.latencies, 0.5),
    fork_p50_ms: percentile(forked.latencies, 0.5),
    fork_errors: forked.errors,
  };
}
