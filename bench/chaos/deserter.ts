import { bashStep } from "../actions.ts";
import { gymClient } from "../client.ts";
import { FRAMEWORK, TASK } from "./workload.ts";

/** A trainer that opens episodes, steps each once, says so, and then never again does anything. Killed by whoever started it. */
const [url = "", token = "", run = "", count = "30"] = process.argv.slice(2);
const client = gymClient(url, token);
await Promise.all(
  Array.from({ length: Number(count) }, async (_, i) => {
    const id = `ep_${run}.deserted-${i}`;
    await client.episode("POST", "/v1/episodes", { episode_id: id, task_id: TASK, framework: FRAMEWORK, run });
    await client.episode("POST", `/v1/episodes/${id}/step`, { seq: 1, action: bashStep("echo here") });
  }),
);
process.stdout.write("ready\n");
setInterval(() => undefined, 60_000);
