import { chmod, mkdir, mkdtemp, readdir, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hostToolchains, toolchainFolder } from "./host-toolchains.ts";

const folder = await mkdtemp(join(tmpdir(), "polygym-toolchains-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a toolchain's folder has its parts at /opt/<name>, without what others may not read", async () => {
  const prefix = join(folder, "home/.rustup/toolchains/stable");
  await mkdir(join(prefix, "bin"), { recursive: true });
  await mkdir(join(prefix, "share/doc"), { recursive: true });
  await writeFile(join(prefix, "bin/rustc"), "program", { mode: 0o755 });
  await writeFile(join(prefix, "bin/credentials"), "secret");
  await chmod(join(prefix, "bin/credentials"), 0o600);
  await symlink("rustc", join(prefix, "bin/rust"));
  const toolchain = { name: "rust", prefix, key: "0123abcd", parts: ["bin", "lib"] };
  const made = await toolchainFolder(join(folder, "images"), toolchain);
  expect(await readdir(join(made, "opt/rust"))).toEqual(["bin"]);
  expect((await readdir(join(made, "opt/rust/bin"))).sort()).toEqual(["rust", "rustc"]);
  expect(await readlink(join(made, "opt/rust/bin/rust"))).toBe("rustc");
  expect((await stat(join(made, "opt/rust/bin/rustc"))).mode & 0o777).toBe(0o755);
  expect(await toolchainFolder(join(folder, "images"), toolchain)).toBe(made);
  expect(await readdir(join(folder, "images"))).toEqual(["rust-0123abcd"]);
});

test("a toolchain of the machine is named by its real prefix, never by a shim or a folder that is mounted anyway", async () => {
  for (const { prefix, parts, name } of await hostToolchains()) {
    expect(prefix.startsWith("/usr/")).toBe(false);
    expect([name, (await stat(join(prefix, parts[0] ?? ""))).isDirectory()]).toEqual([name, true]);
  }
});
