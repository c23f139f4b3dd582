import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import * as z from "zod";
import type { Peer, PeerResult, PeerSandbox } from "./peers.ts";

/** Peers that are one program: each command is a start of it. */

const INSTALL_MS = 180_000;
const NOBODY = 65_534;
/** The machine's own programs, read-only, and empty folders to write in; no network. */
const BUBBLEWRAP = [
  ...["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr"],
  ...["--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
  ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/workspace", "--chdir", "/workspace"],
];

/** bubblewrap as an ordinary user. It keeps nothing between commands: each command is a new sandbox. */
export async function bubblewrap(): Promise<Peer> {
  const program = await installed("/usr/bin/bwrap", "bubblewrap");
  const user = process.geteuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const run = (argv: readonly string[]): Promise<PeerResult> => runProgram([program, ...BUBBLEWRAP, ...argv], user);
  const open = async (): Promise<PeerSandbox> => {
    succeeded("bwrap", await run(["/bin/true"]));
    return { run, close: async () => undefined };
  };
  return { parallel: [1, 16], open };
}

export interface Runtime {
  /** Absolute path and flags, e.g. `["/usr/sbin/runc"]`. */
  readonly argv: readonly string[];
  /** Debian package that has it. */
  readonly package: string;
  /** Folder for its bundle and state. */
  readonly folder: string;
}

const Bundle = z.looseObject({ process: z.looseObject({}), root: z.looseObject({}), mounts: z.array(z.unknown()) });

/** An OCI runtime without an engine above it: `run --detach`, then one `exec` per command. */
export async function ociRuntime({ argv, package: name, folder }: Runtime): Promise<Peer> {
  await installed(argv[0] ?? "", name);
  const bundle = join(folder, "bundle");
  await writeBundle(argv[0] ?? "", bundle);
  const command = [...argv.slice(0, 1), "--root", join(folder, "state"), ...argv.slice(1)];
  let next = 0;
  const open = async (): Promise<PeerSandbox> => {
    const id = `bench-${process.pid}-${next++}`;
    const close = async (): Promise<void> => {
      await runProgram([...command, "kill", id, "KILL"]);
      succeeded("delete", await runProgram([...command, "delete", "--force", id]));
    };
    succeeded("run", await runProgram([...command, "run", "--detach", "--bundle", bundle, id], { silent: true }));
    return { run: (program) => runProgram([...command, "exec", id, ...program]), close };
  };
  const first = await open();
  const greeting = await first.run(["/bin/echo", "hi"]);
  await first.close();
  if (greeting.stdout !== "hi\n") throw new Error(`it does not run here: exec of echo ended with ${greeting.exitCode}`);
  return { parallel: [1, 16], open };
}

async function writeBundle(runtime: string, bundle: string): Promise<void> {
  for (const name of ["proc", "dev", "sys", "usr", "tmp", "workspace"])
    await mkdir(join(bundle, "rootfs", name), { recursive: true });
  for (const name of ["bin", "lib", "lib64"]) await symlink(`usr/${name}`, join(bundle, "rootfs", name));
  const config = join(bundle, "config.json");
  await promisify(execFile)(runtime, ["spec"], { cwd: bundle });
  const spec = Bundle.parse(JSON.parse(await readFile(config, "utf8")));
  const usr = { destination: "/usr", type: "bind", source: "/usr", options: ["rbind", "ro"] };
  const changed = {
    ...spec,
    process: { ...spec.process, terminal: false, args: ["/bin/sleep", "infinity"] },
    root: { path: "rootfs", readonly: true },
    mounts: [...spec.mounts, usr],
  };
  await writeFile(config, JSON.stringify(changed));
}

interface RunOptions {
  readonly uid?: number;
  readonly gid?: number;
  /** Output would be held open by what stays in the background. */
  readonly silent?: boolean;
}

async function runProgram(argv: readonly string[], { silent = false, ...user }: RunOptions = {}): Promise<PeerResult> {
  const [program = "", ...rest] = argv;
  const child = spawn(program, rest, { ...user, stdio: ["ignore", silent ? "ignore" : "pipe", "ignore"], cwd: "/" });
  const [stdout, [code]] = await Promise.all([child.stdout ? text(child.stdout) : "", once(child, "close")]);
  return { exitCode: typeof code === "number" ? code : null, stdout };
}

function succeeded(what: string, { exitCode }: PeerResult): void {
  if (exitCode !== 0) throw new Error(`${what} ended with ${exitCode}`);
}

async function installed(path: string, name: string): Promise<string> {
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) return path;
  if (process.geteuid?.() !== 0) throw new Error(`${name} is not installed, and only root can install it`);
  const flags = ["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", name];
  await promisify(execFile)("/usr/bin/apt-get", flags, { timeout: INSTALL_MS });
  await access(path);
  return path;
}
