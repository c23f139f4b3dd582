import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { GymError } from "../../core/errors.ts";
import type { Programs, Snapshot } from "../../core/sandbox.ts";
import type { AgentConnection } from "../light/agent-connection.ts";
import { type ArchiveFile, ArchiveWriter, freezeInto } from "./archive-file.ts";
import { writableRoots } from "./container-options.ts";
import type { ContainerImage } from "./image.ts";

/** Disk that all frozen states of one process may take. */
const BUDGET = 8 * 1024 * 1024 * 1024;

/** Frozen states of this process, as files in `folder`. */
export class ContainerSnapshots {
  readonly #folder: string;
  readonly #held = new Map<string, ArchiveFile>();
  #bytes = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get size(): number {
    return this.#held.size;
  }

  has(snapshot: Snapshot): boolean {
    return this.#held.has(snapshot.id);
  }

  get bytes(): number {
    return this.#bytes;
  }

  of(snapshot: Snapshot): ArchiveFile {
    const archive = this.#held.get(snapshot.id);
    if (!archive) throw new GymError("sandbox_lost", `snapshot ${snapshot.id} is not held by this process (any more)`);
    return archive;
  }

  async freeze(connection: AgentConnection, image: ContainerImage, lost: Programs | null): Promise<Snapshot> {
    const id = `snap_${randomBytes(9).toString("base64url")}`;
    const room = BUDGET - this.#bytes;
    if (room <= 0)
      throw new GymError("sandbox_unavailable", `frozen states take more than ${BUDGET} bytes: release some`);
    const archive = await freezeInto(
      connection,
      writableRoots(image.volumes),
      new ArchiveWriter(join(this.#folder, id), room),
    );
    this.#held.set(id, archive);
    this.#bytes += archive.bytes;
    return { id, image: image.info.image, imageDigest: image.info.digest, lost };
  }

  async release(snapshot: Snapshot): Promise<void> {
    const archive = this.#held.get(snapshot.id);
    if (!archive) return;
    this.#held.delete(snapshot.id);
    this.#bytes -= archive.bytes;
    await rm(archive.path, { force: true });
  }

  async clear(): Promise<void> {
    for (const { path } of this.#held.values()) await rm(path, { force: true });
    this.#held.clear();
    this.#bytes = 0;
  }
}
