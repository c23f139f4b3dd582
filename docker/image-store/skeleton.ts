import { chmod, mkdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** What a sandbox needs on top of any image: places to mount at, and no trace of the machine that built it. */
const FOLDERS: Readonly<Record<string, number>> = {
  dev: 0o755,
  etc: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  sys: 0o555,
  tmp: 0o1777,
  var: 0o755,
  "var/tmp": 0o1777,
  workspace: 0o755,
};

const FILES: Readonly<Record<string, string>> = {
  "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
  "etc/hostname": "sandbox\n",
  "etc/resolv.conf": "",
};

const LAYOUT = 1;

/** The folder, made once. */
export async function imageSkeleton(home: string): Promise<string> {
  const target = join(home, "images", `skeleton-${LAYOUT}`);
  if (await exists(target)) return target;
  const part = `${target}.${process.pid}`;
  for (const [folder, mode] of Object.entries(FOLDERS)) {
    await mkdir(join(part, folder), { recursive: true });
    await chmod(join(part, folder), mode); // mkdir's own mode is cut by the umask
  }
  for (const [name, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(part, name)), { recursive: true });
    await writeFile(join(part, name), text);
    await chmod(join(part, name), 0o644);
  }
  await symlink("/proc/mounts", join(part, "etc/mtab"));
  await chmod(part, 0o755);
  try {
    await rename(part, target);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if (!(await exists(target))) throw error; // else another process was faster
  }
  return target;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
