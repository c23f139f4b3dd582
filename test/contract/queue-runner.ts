import { pino } from "pino";
import { workQueue } from "../../platform/queues.ts";

/** A process of its own that takes episode jobs and keeps them for ever: prints the id of each. Arguments: url, process id. */
const [url = "", processId = ""] = process.argv.slice(2);
const log = pino({ level: "silent" });
workQueue(
  { url, queue: "episode", concurrency: 8, processId, log, halted: async () => false, onLockLost: () => undefined },
  async (_job, _signal, { jobId }) => {
    process.stdout.write(`${jobId}\n`);
    await Promise.withResolvers<void>().promise;
  },
);
