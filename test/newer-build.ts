import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./command.ts";

const SOURCES = ["cli", "core", "docker", "environments", "platform", "server", "verifiers", "workers", "polygym"];

export interface NewerBuild extends AsyncDisposable {
  readonly root: string;
  readonly version: string;
}

/** A copy of this checkout under another version. `changes`: file → what is replaced there by what. */
export async function newerBuild(
  changes: Readonly<Record<string, readonly [from: string, to: string]>> = {},
): Promise<NewerBuild> {
  const folder = await mkdtemp(join(tmpdir(), "newer-build-"));
  for (const source of SOURCES) await cp(join(root, source), join(folder, source), { recursive: true });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  const about = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string }; // our own file
  const version = `${about.version}-next`;
  await writeFile(join(folder, "package.json"), JSON.stringify({ ...about, version }));
  for (const [file, [from, to]] of Object.entries(changes)) {
    const text = await readFile(join(folder, file), "utf8");
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    await writeFile(join(folder, file), text.replace(from, to));
  }
  return { root: folder, version, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}
