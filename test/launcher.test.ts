import { chmod, chown, copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { root, run } from "./command.ts";

/** What a bare system has: no Node, npm, compiler, Redis or Python. */
const BARE = ["sh", "readlink", "dirname", "cat", "cksum", "id", "uname", "mkdir", "rm", "tr", "tail", "flock", "mv"];
const NOBODY = 65_534;

let folder = "";
let bin = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polygym-launcher-"));
  bin = join(folder, "bin");
  await chmod(folder, 0o755);
  await mkdir(bin);
  for (const name of BARE)
    await symlink((await run(["sh", "-c", `command -v ${name}`])).stdout.trim(), join(bin, name));
  await copyFile(join(root, "polygym"), join(folder, "polygym"));
  await copyFile(join(root, "package-lock.json"), join(folder, "package-lock.json"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;
const asNobody = isRoot ? { uid: NOBODY } : {};

const launch = (env: Record<string, string> = {}, user: { uid?: number } = asNobody) =>
  run(["/bin/sh", join(folder, "polygym"), "doctor"], {
    env: { PATH: bin, HOME: join(folder, "home"), POLYGYM_HOME: undefined, ...env },
    cwd: folder,
    ...user,
  });

test("an ordinary user is told in one line what to install, and gets exit 69", async () => {
  if (isRoot) await chown(folder, NOBODY, NOBODY);
  const { exitCode, stdout, stderr } = await launch();
  expect(exitCode).toBe(69);
  expect(stdout).toBe("");
  expect(stderr).toMatch(
    /lacks npm .*redis-server\. Install it, e\.g\. as root: apt-get install --no-install-recommends npm /,
  );
  expect(stderr.trim().split("\n").length).toBe(1);
});

test("a checkout that may only be read keeps its state in the user's home", async () => {
  await mkdir(join(folder, "home"));
  if (isRoot) await chown(join(folder, "home"), NOBODY, NOBODY);
  await chmod(folder, 0o555);
  await launch();
  expect(await readdir(join(folder, "home"))).toEqual([".polygym"]);
  expect(await readdir(folder)).not.toContain(".polygym");
  await chmod(folder, 0o755);
});

test("a start that finds everything in place runs the command line and nothing else", async () => {
  await mkdir(join(folder, "cli"));
  await mkdir(join(folder, "node_modules"));
  await mkdir(join(folder, "home"), { mode: 0o777 });
  await chmod(join(folder, "home"), 0o777);
  await writeFile(
    join(folder, "cli/main.ts"),
    "console.log(process.argv.slice(2).join(' '), process.env.POLYGYM_HOME);\n",
  );
  const { stdout: digest } = await run(["/bin/sh", "-c", `cksum <"${folder}/package-lock.json"`]);
  await writeFile(join(folder, "node_modules/.polygym-lock"), digest);
  await symlink(process.execPath, join(bin, "node"));
  const state = join(folder, "home", "state");
  await mkdir(state);
  await chmod(state, 0o777);
  await writeFile(join(state, ".checked"), "");
  const { exitCode, stdout, stderr } = await launch(
    { POLYGYM_HOME: state, POLYGYM_REDIS_URL: "unix:///somewhere" },
    {},
  );
  expect(stderr).toBe("");
  expect(stdout).toBe(`doctor ${state}\n`);
  expect(exitCode).toBe(0);
  expect((await readdir(state)).filter((name) => name !== "cache")).toEqual([".checked"]);
});
