import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { pack } from "tar-stream";
import { importImage } from "../../docker/container/import-image.ts";
import type { Engine } from "../../docker/engine.ts";

/** What commands of frameworks and of these tests run. */
const PROGRAMS = [
  "bash",
  "sh",
  "env",
  "cat",
  "cp",
  "ls",
  "ln",
  "mkdir",
  "rm",
  "dirname",
  "chmod",
  "base64",
  "readlink",
];

/** Makes `polygym/small` of this machine's own programs, a system with a shell: nothing can be pulled in tests. */
export async function importSmall(engine: Engine): Promise<void> {
  const programs = PROGRAMS.map((name) => `/bin/${name}`);
  const { stdout } = await promisify(execFile)("ldd", programs);
  const archive = pack();
  for (const link of ["bin", "lib", "lib64"]) archive.entry({ name: link, type: "symlink", linkname: `usr/${link}` });
  for (const file of new Set([...programs, ...(stdout.match(/(?<=\s)\/[^\s:]+(?=\s\()/g) ?? [])]))
    archive.entry({ name: `usr/${file.replace(/^\/(usr\/)?/, "")}`, mode: 0o755 }, await readFile(file));
  archive.entry({ name: "etc/passwd" }, "root:x:0:0:root:/root:/bin/sh\n");
  archive.entry({ name: "tmp/", type: "directory", mode: 0o1777 });
  archive.finalize();
  await importImage(engine, archive, { repo: "polygym/small", tag: "latest" });
}
