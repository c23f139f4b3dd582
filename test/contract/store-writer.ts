import { pino } from "pino";
import { EpisodeId } from "../../core/ids.ts";
import { openStore } from "../../platform/store/open.ts";
import { note } from "./store-samples.ts";

/**
 * A process of its own that appends to a store until it is killed or has written enough: prints a line per durable event.
 * Arguments: folder, process id, episode id, number of events, "stop" to die right after the last write has started.
 */
const [dir = "", processId = "", episode = "", count = "0", ending = ""] = process.argv.slice(2);
const store = await openStore({ dir, processId, log: pino({ level: "silent" }) });
const id = EpisodeId.parse(episode);
for (let n = 0; n < Number(count); n++) {
  await store.append([note({ id, n }, processId)]);
  process.stdout.write(`${n}\n`);
}
if (ending === "kill") process.kill(process.pid, "SIGKILL");
await store.close();
