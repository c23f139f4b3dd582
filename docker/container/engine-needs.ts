import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { seesFile } from "./file-probe.ts";

const EMPTY_IMAGE = "polygym/empty";

const Info = z.object({ Runtimes: z.record(z.string(), z.unknown()).nullish() });

export interface EngineNeeds {
  readonly engine: Engine;
  /** Own folder of the provider. */
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Null: the engine's own. */
  readonly runtime: string | null;
}

/** Rejects, with what to do, when this engine cannot make our sandboxes. */
export async function checkNeeds({ engine, folder, labels, runtime }: EngineNeeds): Promise<void> {
  if (runtime !== null) await needRuntime(engine, runtime);
  if (engine.transport === "socket" || (await seesOurFiles(engine, folder, labels))) return;
  throw new GymError(
    "sandbox_unavailable",
    `the engine at ${engine.address} is on another machine, and a container's first process and its socket are files of ` +
      "this one: run a worker on that machine (POLYGYM_SANDBOX=docker polygym worker --redis URL --store URL)",
  );
}

async function needRuntime(engine: Engine, runtime: string): Promise<void> {
  const { Runtimes } = Info.parse(await engine.call("ask for its runtimes", (docker) => docker.info()));
  const known = Object.keys(Runtimes ?? {});
  if (known.includes(runtime)) return;
  throw new GymError(
    "sandbox_unavailable",
    `the engine at ${engine.address} has no runtime ${runtime}, it has ${known.join(", ")}: add it to "runtimes" in its ` +
      "daemon.json and restart it, or unset POLYGYM_DOCKER_RUNTIME",
  );
}

/** By a container that is made and never started: a fresh folder of ours is in it, or it is not. */
async function seesOurFiles(
  engine: Engine,
  folder: string,
  labels: Readonly<Record<string, string>>,
): Promise<boolean> {
  const mark = randomBytes(9).toString("hex");
  const seen = join(folder, "seen");
  await mkdir(join(seen, mark), { recursive: true });
  await importEmpty(engine);
  const mounts = () => ({ Binds: [`${seen}:/seen:ro`] });
  return await seesFile({ engine, image: EMPTY_IMAGE, labels, mounts, file: `/seen/${mark}` });
}

async function importEmpty(engine: Engine): Promise<void> {
  const archive = pack();
  archive.entry({ name: "seen/", type: "directory" });
  archive.finalize();
  await engine.call("import an empty image", async (docker) => {
    await text(await docker.importImage(Readable.from(archive), { repo: EMPTY_IMAGE, tag: "latest" }));
  });
}
