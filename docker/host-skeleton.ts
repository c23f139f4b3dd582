import { chmod, cp, lstat, mkdir, readlink, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * The synthesised root of image `host`: empty folders, a small /etc, links into /usr.
 * Covers: of the machine's /etc only tables that programs need and everybody may read, each named here; accounts, host
 * name and resolver are made up. Does not cover: what is in those tables.
 */

/** Copied when there; links stay links, and what others may not read is left out. */
const COPIED = [
  "alternatives",
  "bindresvport.blacklist",
  "ethertypes",
  "inputrc",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "locale.alias",
  "magic",
  "magic.mime",
  "mime.types",
  "networks",
  "perl",
  "protocols",
  "python3",
  "python3.10",
  "python3.11",
  "python3.12",
  "python3.13",
  "rpc",
  "services",
  "ssl/openssl.cnf",
  "terminfo",
  "debian_version",
  "java-11-openjdk",
  "java-17-openjdk",
  "java-21-openjdk",
];

const WRITTEN: Readonly<Record<string, string>> = {
  passwd: "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  group: "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  hosts: "127.0.0.1 localhost sandbox\n::1 localhost\n",
  hostname: "sandbox\n",
  "host.conf": "multi on\n",
  "resolv.conf": "",
  "nsswitch.conf":
    "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nprotocols: files\nservices: files\n",
  shells: "/bin/sh\n/bin/bash\n",
  // A login shell must not reset PATH: tools of the image are in front of it.
  profile: '[ -n "$PATH" ] || PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n',
  "bash.bashrc": "",
  gitconfig:
    "[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[user]\n\tname = nobody\n\temail = nobody@localhost\n",
};

const FOLDERS: Readonly<Record<string, number>> = {
  dev: 0o755,
  etc: 0o755,
  "etc/ssl": 0o755,
  home: 0o755,
  media: 0o755,
  mnt: 0o755,
  opt: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  "run/lock": 0o1777,
  srv: 0o755,
  sys: 0o555,
  tmp: 0o1777,
  usr: 0o755,
  var: 0o755,
  "var/cache": 0o755,
  "var/lib": 0o755,
  "var/log": 0o755,
  "var/tmp": 0o1777,
  workspace: 0o755,
};

const TOP = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/** Builds the folder at `target` unless it is there. */
export async function buildSkeleton(target: string): Promise<void> {
  if (await exists(target)) return;
  const part = `${target}.${process.pid}`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { recursive: true });
  for (const [folder, mode] of Object.entries(FOLDERS)) {
    await mkdir(join(part, folder), { recursive: true });
    await chmod(join(part, folder), mode); // mkdir's own mode is cut by the umask
  }
  for (const name of TOP) await linkTop(name, part);
  for (const name of COPIED) await copyReadable(join("/etc", name), join(part, "etc", name));
  for (const [name, text] of Object.entries(WRITTEN)) {
    await rm(join(part, "etc", name), { recursive: true, force: true });
    await writeFile(join(part, "etc", name), text);
    await chmod(join(part, "etc", name), 0o644);
  }
  await timeZone(join(part, "etc/localtime"));
  await symlink("/proc/mounts", join(part, "etc/mtab"));
  await symlink("../usr/lib/os-release", join(part, "etc/os-release"));
  await symlink("/run", join(part, "var/run"));
  await symlink("/run/lock", join(part, "var/lock"));
  await chmod(part, 0o755);
  try {
    await rename(part, target);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if (!(await exists(target))) throw error; // else another worker was faster
  }
}

/** Top folders of the machine that are real ones and not links into /usr: an image of them needs mounts of their own. */
export async function realTopFolders(): Promise<string[]> {
  const found: string[] = [];
  for (const name of TOP) {
    const stat = await lstat(`/${name}`).catch(() => null);
    if (stat?.isDirectory()) found.push(`/${name}`);
  }
  return found;
}

async function linkTop(name: string, root: string): Promise<void> {
  const stat = await lstat(`/${name}`).catch(() => null);
  if (stat?.isSymbolicLink()) await symlink(await readlink(`/${name}`), join(root, name));
  else if (stat?.isDirectory()) await mkdir(join(root, name), { mode: 0o755 });
}

async function copyReadable(from: string, to: string): Promise<void> {
  if (!(await exists(from))) return;
  await mkdir(dirname(to), { recursive: true, mode: 0o755 });
  await cp(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter: async (source) => {
      const stat = await lstat(source);
      return stat.isSymbolicLink() || ((stat.isFile() || stat.isDirectory()) && (stat.mode & 0o004) !== 0);
    },
  });
}

/** The zone's file itself, not a link to a name that tells where the machine stands. */
async function timeZone(target: string): Promise<void> {
  const zone = await realpath("/etc/localtime").catch(() => null);
  if (zone) await cp(zone, target);
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null;
}
