import type { Sandbox } from "../../core/sandbox.ts";
import type { Room } from "../../core/verifier.ts";
import { CalledSubject, ownProcess, type StartModule } from "./called-subject.ts";
import type { Deadline } from "./deadline.ts";
import { interpreterOf, moduleName, type Target } from "./subject-languages.ts";
import { subjectProgram } from "./subject-program.ts";

export type FunctionTarget = Extract<Target, { type: "functions" }>;

/** A module whose import has begun. */
export interface OpenModule {
  readonly module: CalledSubject;
  /** Null when it was imported, else what it raised. */
  readonly loaded: ReturnType<CalledSubject["load"]>;
}

export interface ModuleOptions {
  readonly target: FunctionTarget;
  readonly importMs: number;
  readonly deadline: Deadline;
}

/** The module of an attempt, in a process of its own in the attempt's sandbox. */
export async function openSubjectModule(
  room: Room,
  opening: Promise<Sandbox>,
  { target, importMs, deadline }: ModuleOptions,
): Promise<OpenModule> {
  const [sandbox, program] = await Promise.all([opening, subjectProgram(room, target.language, deadline)]);
  const interpreterPath = room.interpreter(interpreterOf(target.language));
  const start = ownProcess({ sandbox, program, interpreterPath, wallMs: deadline.remainingMs() });
  return openModule(start, { target, importMs, deadline });
}

/** Starts the process of a module and begins its import. */
export async function openModule(
  start: StartModule,
  { target, importMs, deadline }: ModuleOptions,
): Promise<OpenModule> {
  const module = await CalledSubject.start(start);
  const loaded = module.load(moduleName(target.entry, target.language), Math.min(importMs, deadline.remainingMs()));
  // Told by whoever awaits it; a failure before that must not end our process.
  loaded.catch(() => undefined);
  return { module, loaded };
}
