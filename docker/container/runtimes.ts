import { type ImageInfo, type Sandbox, WORKSPACE } from "../../core/sandbox.ts";

/** Interpreters and tools that tasks ask for, and how each tells its version. */
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  bash: ["bash", "--version"],
  python3: ["python3", "-V"],
  pytest: ["python3", "-I", "-c", "import pytest; print(pytest.__version__)"],
  node: ["node", "--version"],
  git: ["git", "--version"],
  gcc: ["gcc", "--version"],
  "g++": ["g++", "--version"],
  make: ["make", "--version"],
  go: ["go", "version"],
  rustc: ["rustc", "--version"],
  cargo: ["cargo", "--version"],
  java: ["java", "-version"],
};

/** The folders of PATH outside the workspace, whatever name leads there. */
const OUTSIDE = `IFS=:
for folder in $PATH; do
  case "$(cd -P -- "$folder" 2>/dev/null && pwd -P)" in "" | "$1" | "$1"/*) ;; *) printf '%s:' "$folder" ;; esac
done`;

/**
 * Asks a sandbox of an image for its tools. One that lies in the workspace is none: an attempt could put another in its place,
 * and judges run what is found here.
 */
export async function findRuntimes(sandbox: Sandbox): Promise<ImageInfo["runtimes"]> {
  const found: Record<string, { path: string; version: string }> = {};
  const folders = await sandbox.exec({ argv: ["sh", "-c", OUTSIDE, "sh", WORKSPACE], cwd: "/", timeoutMs: 5_000 });
  const path = Buffer.from(folders.stdout).toString().replace(/:$/, "");
  const env = path === "" ? {} : { PATH: path };
  for (const [name, argv] of Object.entries(TOOLS)) {
    const asked = await sandbox.exec({ argv, env, timeoutMs: 20_000, mergeOutput: true });
    const version = Buffer.from(asked.stdout).toString().split("\n")[0]?.trim();
    if (asked.exitCode !== 0 || !version) continue;
    const place = await sandbox.exec({
      argv: ["sh", "-c", 'command -v "$1"', "sh", argv[0] ?? name],
      env,
      timeoutMs: 5_000,
    });
    found[name] = { path: Buffer.from(place.stdout).toString().trim() || name, version };
  }
  return found;
}
