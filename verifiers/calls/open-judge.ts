import { sha256 } from "../../core/ids.ts";
import type { FileTree } from "../../core/task.ts";
import type { LineProcess, Room } from "../../core/verifier.ts";
import { type ProgramLanguage, programFor } from "./program-text.ts";
import { interpreterOf } from "./subject-languages.ts";

/** A judge at hand, with its files, not yet started on a task. */
export interface OpenJudge extends AsyncDisposable {
  /** Belongs to what the judge is told first. */
  readonly hello: object;
  start(onChannel: (data: Uint8Array) => void): Promise<LineProcess>;
  /** The judge's own compiled form of its file, for the runs that follow. */
  onCode(code: string): void;
}

export interface JudgeFiles {
  readonly language: ProgramLanguage;
  readonly files: FileTree;
  /** The one it runs. */
  readonly main: string;
}

/** JavaScript judges take an hour at most, like every command. */
const LIFE_MS = 3_600_000;

/**
 * Python judges are served: a server's child forks in a millisecond where an interpreter starts in ten. Node cannot fork, and
 * a worker thread would share its process with other runs, so a JavaScript judge has a sandbox and a process of its own.
 */
export function openJudge(room: Room, files: JudgeFiles): Promise<OpenJudge> {
  return files.language === "python" ? servedJudge(room, files) : ownJudge(room, files);
}

async function servedJudge(room: Room, { files, main }: JudgeFiles): Promise<OpenJudge> {
  const server = await room.server({ name: "judge", over: "image", ...(await programFor("judge", "python")) });
  const compiled = room.compiled("python3");
  const key = `${main} ${sha256(files.get(main)?.data ?? "")}`;
  return {
    hello: {
      files: Object.fromEntries([...files].map(([path, { mode, data }]) => [path, [mode, base64(data)]])),
      code: compiled.get(key),
    },
    start: async (onChannel) => server.run(onChannel),
    onCode: (code) => compiled.set(key, code),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function ownJudge(room: Room, { language, files }: JudgeFiles): Promise<OpenJudge> {
  const [sandbox, program] = await Promise.all([room.judge(files), programFor("judge", language)]);
  return {
    hello: {},
    start: (onChannel) =>
      sandbox.spawn({
        argv: [room.interpreter(interpreterOf(language)), ...program.argv],
        timeoutMs: LIFE_MS,
        channel: true,
        onOutput: ({ stream, data }) => {
          if (stream === "channel") onChannel(data);
        },
      }),
    onCode: () => undefined,
    [Symbol.asyncDispose]: () => sandbox.close(),
  };
}

const base64 = (data: Uint8Array): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
