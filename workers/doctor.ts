import { openProvider } from "../docker/catalog.ts";
import { ImageStore } from "../docker/image-store/store.ts";
import { loadConfig } from "../platform/config.ts";
import { openLog } from "../platform/log.ts";
import { providerOptions } from "./provider-options.ts";

/** `polygym doctor` asks this process what the sandbox tier enforces here; the answer is one JSON document. */
const config = loadConfig();
const log = openLog({ level: "error", name: "doctor", processId: config.processId });
try {
  await using provider = await openProvider({ ...providerOptions(config), log });
  const check = await provider.selfCheck();
  const runtimes = check.mode === "none" ? {} : (await provider.image("host")).runtimes;
  const images = await ImageStore.open({ ...config, tier: provider.tier });
  process.stdout.write(`${JSON.stringify({ ...check, runtimes, builders: await images.builders() })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`);
}
