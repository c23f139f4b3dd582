import { GymError } from "../../core/errors.ts";
import { type Sandbox, WORKSPACE } from "../../core/sandbox.ts";

/** For what an image has in the folder. */
const MOVE_MS = 5 * 60_000;

const MAKE = `set -e
folder=$1 workspace=$2
[ "$folder" -ef "$workspace" ] && exit 0
if [ -e "$folder" ]; then
  [ -d "$folder" ] || { echo "it is a file in the image" >&2; exit 1; }
  if [ -n "$(ls -A "$folder")" ]; then
    [ -z "$(ls -A "$workspace")" ] || { echo "the image has files both there and in $workspace" >&2; exit 1; }
    cp -a "$folder/." "$workspace/"
  fi
fi
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
ln -s "$workspace" "$folder"`;

/** Makes a folder of a fresh sandbox another name of its workspace. One in which that cannot be is closed. */
export async function withWorkdir(sandbox: Sandbox, folder: string): Promise<Sandbox> {
  try {
    const argv = ["/bin/sh", "-c", MAKE, "sh", folder, WORKSPACE];
    const made = await sandbox.exec({ argv, cwd: "/", timeoutMs: MOVE_MS });
    if (made.exitCode === 0) return sandbox;
    const said = Buffer.from(made.stderr).toString().trim().slice(0, 500);
    const why = said || `it ended with ${made.signal ?? made.exitCode}`;
    throw new GymError("image_failed", `image ${sandbox.image}: ${folder} cannot be the workspace: ${why}`);
  } catch (error) {
    await sandbox.close();
    throw error;
  }
}
