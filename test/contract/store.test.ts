import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { openStore } from "../../platform/store/open.ts";
import { storeContract } from "./store.ts";

storeContract("embedded", async () => {
  const dir = await mkdtemp(join(tmpdir(), "polygym-store-"));
  const log = pino({ level: "silent" });
  return {
    open: (processId, now = Date.now) => openStore({ dir, processId, log, now }),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
});
