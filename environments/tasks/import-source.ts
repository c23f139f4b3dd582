import { BUILT_IN_SOURCES } from "./catalog.ts";
import { taskInvalid } from "./folder-tree.ts";

const sourceForm = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Imports may not hide a built-in suite or leave the folder of imported tasks. */
export function requireImportSource(source: string): string {
  if (!sourceForm.test(source))
    throw taskInvalid(
      "import",
      `source must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit, got ${JSON.stringify(source)}`,
    );
  if (BUILT_IN_SOURCES.includes(source))
    throw taskInvalid("import", `the source ${source} is built in; name another one`);
  return source;
}
