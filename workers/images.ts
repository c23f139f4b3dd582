import { Engine } from "../docker/engine.ts";
import { buildImage, collectImages, listImages } from "../docker/image-store/build.ts";
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
    for (const record of await listImages(config.home)) say(record);
  } else if (action === "gc") {
    for (const folder of await collectImages(config.home)) say({ removed: folder });
  } else {
    process.stderr.write("usage: images build NAME | list | gc\n");
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
