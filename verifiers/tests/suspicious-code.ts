import type { Flag } from "../../core/verifier.ts";
import { readTar } from "../clean-room/tar-reader.ts";

/** What code of a solution has no business with in a test run. A flag for people and statistics, never a score. */
const SIGNS: readonly (readonly [RegExp, string])[] = [
  [/\b(_pytest|pytest_runtest|pytest_collection|TestReport|pluggy)\b/, "the test runner"],
  [/\bsys\s*\.\s*modules\b/, "sys.modules"],
  [/\b(meta_path|path_hooks|SourceFileLoader|MetaPathFinder)\b/, "import hooks"],
  [/\bgc\s*\.\s*(get_objects|get_referrers|get_referents)\b/, "the garbage collector"],
  [/\b(_getframe|currentframe|inspect\s*\.\s*stack|f_back|f_locals)\b/, "frames"],
  [/\b(__code__|CodeType|co_consts|co_code)\b/, "code objects"],
  [/\b(settrace|setprofile|sys\s*\.\s*monitoring)\b/, "tracing"],
  [/\bos\s*\.\s*_exit\b|\batexit\b/, "the end of the process"],
  [/\bctypes\b|\/proc\/self\b/, "the process's memory"],
  [/\b(PYTEST_CURRENT_TEST|AssertionError\s*=|builtins\s*\.\s*\w+\s*=)/, "the marks of a test run"],
];

const MAX_FLAGS = 20;

/** Flags Python files of a submission that reach for the machinery around the tests. */
export function flagSuspiciousCode(tar: Uint8Array): Flag[] {
  const flags: Flag[] = [];
  for (const item of readTar(tar).items) {
    if (item.type !== "file" || !item.path.endsWith(".py")) continue;
    const text = Buffer.from(item.data).toString("utf8");
    for (const [pattern, what] of SIGNS)
      if (pattern.test(text)) flags.push({ name: "suspicious_code", detail: `${item.path} touches ${what}` });
  }
  return flags.slice(0, MAX_FLAGS);
}
