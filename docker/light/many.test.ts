import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hostImage } from "../image-host.ts";
import { silentLog } from "../log.ts";
import { buildLight } from "./build.ts";
import { LightProvider } from "./provider.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
mkdirSync(home, { recursive: true });
/** The host holds several descriptors for each: together more than one sandbox may have. */
const MANY = 400;
const AT_ONCE = 16;

test("four hundred sandboxes live side by side, and the last has its own bound of descriptors", async () => {
  const options = { binary: await buildLight(home), images: [await hostImage({ home })], log: silentLog, warm: 0 };
  await using provider = new LightProvider(options);
  for (let opened = 0; opened < MANY; opened += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, () => provider.open({ image: "host", owner: "many" })));
  await using last = await provider.open({ image: "host", owner: "many" });
  const result = await last.exec({ argv: ["bash", "-c", "ulimit -n; ls /proc/self/fd | wc -l"], timeoutMs: 10_000 });
  expect(Buffer.from(result.stdout).toString()).toBe("1024\n4\n");
  expect((await provider.counts()).sandboxes).toBe(MANY + 1);
});
