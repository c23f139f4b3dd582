import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { seesFile } from "./file-probe.ts";
import { importImage } from "./import-image.ts";

const Version = z.object({ Components: z.array(z.object({ Name: z.string() })).nullish() });
const Info = z.object({ Runtimes: z.record(z.string(), z.unknown()).nullish() });

/** What engines do differently. */
export interface EngineTraits {
  /** Whether the list of kernel calls is handed over itself, or as a file on the engine's machine. */
  readonly seccomp: "inline" | "file";
  /** Whether files of the kernel are masked by a list, or by an option that says the same. */
  readonly masks: "list" | "option";
  /** Memory file systems with owner and a bound of files, or with a size alone. */
  readonly memoryFolders: "full" | "plain";
}

export interface EngineNeeds {
  readonly engine: Engine;
  /** Own folder of the provider. */
  readonly folder: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Null: the engine's own. */
  readonly runtime: string | null;
}

/** Looks once whether an engine can make our sandboxes, and how. */
export class EngineCheck {
  readonly #needs: EngineNeeds;
  #traits: Promise<EngineTraits> | null = null;

  constructor(needs: EngineNeeds) {
    this.#needs = needs;
  }

  /** Rejects, with what to do, when the engine cannot; then the next call looks again. */
  async traits(): Promise<EngineTraits> {
    this.#traits ??= look(this.#needs);
    this.#traits.catch(() => {
      this.#traits = null;
    });
    return await this.#traits;
  }
}

async function look({ engine, folder, labels, runtime }: EngineNeeds): Promise<EngineTraits> {
  if (runtime !== null) await needRuntime(engine, runtime);
  if (engine.transport !== "socket" && !(await seesOurFiles(engine, folder, labels)))
    throw new GymError(
      "sandbox_unavailable",
      `the engine at ${engine.address} is on another machine, and a container's first process and its socket are files of ` +
        "this one: run a worker on that machine (polygym worker --sandbox docker --redis URL --store URL)",
    );
  const { Components } = Version.parse(await engine.call("ask for its version", (docker) => docker.version()));
  const podman = (Components ?? []).some(({ Name }) => Name.includes("Podman"));
  return podman
    ? { seccomp: "file", masks: "option", memoryFolders: "plain" }
    : { seccomp: "inline", masks: "list", memoryFolders: "full" };
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
  const archive = pack();
  archive.entry({ name: "seen/", type: "directory" });
  archive.finalize();
  const image = await importImage(engine, archive, { repo: "polygym/empty", tag: "latest" });
  const mounts = () => ({ Binds: [`${seen}:/seen:ro`] });
  return await seesFile({ engine, image, labels, mounts, file: `/seen/${mark}` });
}
