import { Engine } from "../docker/engine.ts";
import { buildImage } from "../docker/image-store/build.ts";
import { collectImages } from "../docker/image-store/collect.ts";
import { listRecords } from "../docker/image-store/records.ts";
import { loadConfig } from "../platform/config.ts";

/**
 * Images from a command line, one JSON document per line on standard output, a build's log on standard error:
 * `build NAME` (with the engine on tier docker, else from packages), `list`, `gc`.
 */
const config = loadConfig();
const [action, name = ""] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
try {
  if (action === "build") {
    const engine = config.tier === "docker" ? new Engine(config.dockerHost) : null;
    say(await buildImage({ home: config.home, name, engine, onLog: (line) => void process.stderr.write(`${line}\n`) }));
  } else if (action === "list") {
    for (const record of await listRecords(config.home)) say(record);
  } else if (action === "gc") {
    say(await collectImages({ home: config.home, engine: null, pinned: new Set(), highBytes: 0, lowBytes: 0 }));
  } else {
    process.stderr.write("usage: images build NAME | list | gc\n");
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
