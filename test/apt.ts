import { spawnSync } from "node:child_process";

const INSTALL_MS = 300_000;

/**
 * Installs packages of Debian that a test needs and nobody else does. Answers null, or why it could not. Test files run side
 * by side, and apt refuses a second one: they wait for each other. Services of the packages are not started.
 */
export function installByApt(...packages: readonly string[]): string | null {
  if (process.geteuid?.() !== 0) return `${packages.join(" ")} is not installed, and only root can install it`;
  const script =
    'flock /tmp/polygym-tests-apt.lock sh -c \'apt-get update -q && apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=240 "$@"\' sh "$@"';
  const done = spawnSync("sh", ["-c", script, "sh", ...packages], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    timeout: INSTALL_MS,
    encoding: "utf8",
  });
  if (done.status === 0) return null;
  const reason = done.error?.message ?? done.stderr.trim().split("\n").at(-1) ?? "";
  return `apt-get could not install ${packages.join(" ")}: ${reason}`;
}
