import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import { ImageName, type ImageRecord, touch, wholeRecord } from "./records.ts";

/**
 * Which images are in use, as files in `<home>/images/leases/<process>/`. Whoever uses an image writes its lease first and
 * looks for the image then; whoever removes one withdraws it first and looks for leases then. So one of the two sees the other.
 */

/** A process of another pid namespace cannot be seen from here; one that wrote nothing for so long is taken for dead. */
const FOREIGN_MS = 7 * 86_400_000;

const Lease = z.object({ name: ImageName, layers: z.array(z.string()) });

/** An image that is kept until this is disposed. */
export interface ImageLease extends AsyncDisposable {
  readonly record: ImageRecord;
}

/** Throws `sandbox_unavailable` when the image is not (or no longer) there. */
export async function leaseImage(home: string, name: string): Promise<ImageLease> {
  const folder = join(home, "images/leases", await processName());
  await mkdir(folder, { recursive: true });
  const id = randomBytes(8).toString("hex");
  const file = join(folder, id);
  const seen = await wholeRecord(home, name);
  if (seen !== null) {
    await writeFile(join(folder, `.${id}`), JSON.stringify({ name, layers: seen.layers.map(({ path }) => path) }));
    await rename(join(folder, `.${id}`), file);
  }
  const record = seen === null ? null : await wholeRecord(home, name);
  if (record === null || record.digest !== seen?.digest) {
    await rm(file, { force: true });
    throw new GymError("sandbox_unavailable", `image ${name} is not built here`, { retryable: true });
  }
  await touch(home, name);
  return { record, [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

/** Names and layers that living processes use. Forgets those of dead ones. */
export async function leasedImages(home: string): Promise<{ names: Set<string>; layers: Set<string> }> {
  const folder = join(home, "images/leases");
  const names = new Set<string>();
  const layers = new Set<string>();
  for (const process of await readdir(folder).catch(() => [])) {
    if (!(await lives(process, join(folder, process)))) {
      await rm(join(folder, process), { recursive: true, force: true });
      continue;
    }
    for (const file of await readdir(join(folder, process)).catch(() => [])) {
      const text = file.startsWith(".") ? "" : await readFile(join(folder, process, file), "utf8").catch(() => "");
      if (text === "") continue; // not written yet, or given back just now
      const lease = Lease.parse(JSON.parse(text));
      names.add(lease.name);
      for (const layer of lease.layers) layers.add(layer);
    }
  }
  return { names, layers };
}

/** Of this process: pid namespace, pid and when it started, so that another one with its pid is not taken for it. */
async function processName(pid: string | number = "self"): Promise<string> {
  const namespace = /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
  const fields = await readFile(`/proc/${pid}/stat`, "utf8");
  const startedAt = fields.slice(fields.lastIndexOf(")") + 2).split(" ")[19];
  return `${namespace}-${fields.slice(0, fields.indexOf(" "))}-${startedAt}`;
}

async function lives(name: string, folder: string): Promise<boolean> {
  const [namespace, pid = ""] = name.split("-");
  const own = (await processName()).split("-")[0];
  if (namespace === own) return (await processName(pid).catch(() => null)) === name;
  const newest = await stat(folder).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  return Date.now() - newest < FOREIGN_MS;
}
