import { sha256 } from "../../core/ids.ts";
import type { Room } from "../../core/verifier.ts";
import type { Deadline } from "./deadline.ts";
import { runJudge } from "./judge-process.ts";
import { openJudge } from "./open-judge.ts";
import {
  compiledPython,
  type ProgramInvocation,
  type ProgramLanguage,
  programFor,
  pythonText,
} from "./program-text.ts";

/**
 * Our part in a subject's process, in the quickest form that its interpreter takes: for Python compiled code, made by a judge
 * of the same image once for all rooms.
 */
export async function subjectProgram(
  room: Room,
  language: ProgramLanguage,
  deadline: Deadline,
): Promise<ProgramInvocation> {
  if (language !== "python") return programFor("subject", language);
  const source = await pythonText("subject");
  const known = room.compiled("python3").get(keyOf(source));
  return compiledPython(known ?? (await compile(room, source, deadline)));
}

async function compile(room: Room, source: string, deadline: Deadline): Promise<string> {
  const name = "subject";
  await using judge = await openJudge(room, { language: "python", files: new Map(), main: name });
  const report = await runJudge({
    judge,
    deadline,
    task: { task: "compile", file: name, source },
    answer: () => Promise.reject(new TypeError("a compilation calls nothing")),
  });
  room.compiled("python3").set(keyOf(source), report.code);
  return report.code;
}

const keyOf = (source: string): string => sha256(source);
