import type { FileTree } from "./file-tree.ts";

/**
 * A small command interpreter over a {@link FileTree}, enough for unit tests: true, false, echo, printf (its text only),
 * cat, pwd, cd, ls, mkdir, rm, touch, cp, mv, ln -s, test, export, exit, sleep, kill -9 $$; `;` `&&` `||` and new lines;
 * quotes, $NAME, > and >>. Anything else is "command not found" (127). Deterministic: no clock but sleep's.
 */
export interface ShellState {
  cwd: string;
  readonly env: Map<string, string>;
  exited: boolean;
  /** Set when the shell was killed by a signal. */
  signal: string | null;
}

export interface CommandIo {
  readonly tree: FileTree;
  readonly stdin: Uint8Array;
  out(stream: "stdout" | "stderr", data: Uint8Array): void;
  /** Resolves after `ms`, or at once when the command is being ended. */
  sleep(ms: number): Promise<void>;
  readonly ended: () => boolean;
}

type Builtin = (args: readonly string[], io: CommandIo, state: ShellState) => number | Promise<number>;

const text = (value: string): Uint8Array => Buffer.from(value);
const complain = (io: CommandIo, message: string): number => {
  io.out("stderr", text(`${message}\n`));
  return 1;
};

export function absolute(path: string, cwd: string): string {
  return path.startsWith("/") ? path : `${cwd === "/" ? "" : cwd}/${path}`;
}

const builtins: Readonly<Record<string, Builtin>> = {
  true: () => 0,
  ":": () => 0,
  false: () => 1,
  pwd: (_args, io, state) => {
    io.out("stdout", text(`${state.cwd}\n`));
    return 0;
  },
  echo: (args, io) => {
    const bare = args[0] === "-n";
    io.out("stdout", text(`${(bare ? args.slice(1) : args).join(" ")}${bare ? "" : "\n"}`));
    return 0;
  },
  printf: (args, io) => {
    io.out("stdout", text((args[0] ?? "").replaceAll("\\n", "\n").replaceAll("\\t", "\t")));
    return 0;
  },
  cat: (args, io, state) => {
    if (args.length === 0) io.out("stdout", io.stdin);
    let status = 0;
    for (const name of args) {
      const content = io.tree.read(absolute(name, state.cwd), Number.POSITIVE_INFINITY);
      if (content.ok) io.out("stdout", content.value);
      else status = complain(io, `cat: ${name}: No such file or directory`);
    }
    return status;
  },
  cd: (args, io, state) => {
    const found = io.tree.find(absolute(args[0] ?? "/root", state.cwd));
    if (found?.node.type !== "directory") return complain(io, `cd: ${args[0]}: No such file or directory`);
    state.cwd = found.path;
    return 0;
  },
  ls: (args, io, state) => {
    const folder = args.find((one) => !one.startsWith("-")) ?? ".";
    const listed = io.tree.list(absolute(folder, state.cwd), 1, 100_000);
    if (!listed.ok) return complain(io, `ls: ${folder}: No such file or directory`);
    io.out("stdout", text(listed.value.map((entry) => `${entry.path}\n`).join("")));
    return 0;
  },
  mkdir: (args, io, state) =>
    each(args, (name) => io.tree.makeDirectory(absolute(name, state.cwd)).ok || complain(io, `mkdir: ${name}`) === 0),
  rm: (args, io, state) =>
    each(args, (name) => {
      const removed = io.tree.remove(absolute(name, state.cwd)).ok;
      return removed || args.some((one) => /^-\w*f/.test(one)) || complain(io, `rm: ${name}: No such file`) === 0;
    }),
  touch: (args, io, state) =>
    each(args, (name) => {
      const path = absolute(name, state.cwd);
      return io.tree.find(path) !== null || io.tree.write(path, new Uint8Array(0)).ok;
    }),
  cp: (args, io, state) => copy(args, io, state),
  mv: (args, io, state) => {
    const status = copy(args, io, state);
    if (status === 0) io.tree.remove(absolute(args[0] ?? "", state.cwd));
    return status;
  },
  ln: (args, io, state) => {
    const [target = "", path = ""] = args.filter((one) => !one.startsWith("-"));
    return io.tree.makeLink(target, absolute(path, state.cwd)).ok ? 0 : complain(io, `ln: ${path}`);
  },
  test: (args, io, state) => {
    const [first = "", second = "", third] = args;
    if (second === "=") return first === third ? 0 : 1;
    const found = io.tree.find(absolute(second, state.cwd));
    const wanted = { "-f": "file", "-d": "directory" }[first];
    return first === "-e" ? (found ? 0 : 1) : wanted && found?.node.type === wanted ? 0 : 1;
  },
  export: (args, _io, state) => {
    for (const one of args) assign(one, state);
    return 0;
  },
  exit: (args, _io, state) => {
    state.exited = true;
    return Number(args[0] ?? 0) & 255;
  },
  sleep: async (args, io) => {
    await io.sleep(Number(args[0] ?? 0) * 1000);
    return 0;
  },
  kill: (args, _io, state) => {
    if (args[0] !== "-9" || args[1] !== "$$") return 1;
    state.exited = true;
    state.signal = "SIGKILL";
    return 137;
  },
};

function each(args: readonly string[], act: (name: string) => boolean): number {
  return args.filter((one) => !one.startsWith("-")).every((name) => act(name)) ? 0 : 1;
}

function copy(args: readonly string[], io: CommandIo, state: ShellState): number {
  const [from = "", to = ""] = args.filter((one) => !one.startsWith("-"));
  const content = io.tree.read(absolute(from, state.cwd), Number.POSITIVE_INFINITY);
  if (!content.ok) return complain(io, `cp: ${from}: No such file or directory`);
  const into = io.tree.find(absolute(to, state.cwd))?.node.type === "directory" ? `${to}/${from.split("/").pop()}` : to;
  return io.tree.write(absolute(into, state.cwd), content.value).ok ? 0 : complain(io, `cp: ${to}`);
}

function assign(word: string, state: ShellState): boolean {
  const match = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(word);
  if (!match) return false;
  state.env.set(match[1] ?? "", match[2] ?? "");
  return true;
}

/** Runs one program by its argument list, as exec does. */
export async function runArgv(argv: readonly string[], io: CommandIo, state: ShellState): Promise<number> {
  const [program = "", ...args] = argv;
  const name = program.split("/").pop() ?? "";
  if (name === "sh" || name === "bash") {
    const at = args.findIndex((one) => /^-\w*c$/.test(one));
    return await runScript(args[at + 1] ?? Buffer.from(io.stdin).toString(), io, state);
  }
  const builtin = Object.hasOwn(builtins, name) ? builtins[name] : undefined;
  if (builtin) return await builtin(args, io, state);
  io.out("stderr", text(`${program}: command not found\n`));
  return 127;
}

/** Runs shell text; the status is that of the last command that ran. */
export async function runScript(script: string, io: CommandIo, state: ShellState): Promise<number> {
  let status = 0;
  for (const { joint, words } of parse(script)) {
    if (state.exited || io.ended()) break;
    if ((joint === "&&" && status !== 0) || (joint === "||" && status === 0)) continue;
    status = await runWords(
      words.map((word) => expand(word, state, status)),
      io,
      state,
    );
  }
  return status;
}

async function runWords(words: string[], io: CommandIo, state: ShellState): Promise<number> {
  while (words[0] !== undefined && assign(words[0], state)) words.shift();
  if (words.length === 0) return 0;
  const at = words.findIndex((word) => word === ">" || word === ">>");
  if (at < 0) return await runArgv(words, io, state);
  const path = absolute(words[at + 1] ?? "", state.cwd);
  const before = words[at] === ">>" ? io.tree.read(path, Number.POSITIVE_INFINITY) : null;
  const parts: Uint8Array[] = before?.ok ? [before.value] : [];
  const into: CommandIo = {
    ...io,
    out: (stream, data) => void (stream === "stdout" ? parts.push(data) : io.out(stream, data)),
  };
  const status = await runArgv([...words.slice(0, at), ...words.slice(at + 2)], into, state);
  return io.tree.write(path, Buffer.concat(parts)).ok ? status : complain(io, `${path}: cannot write`);
}

interface Word {
  readonly text: string;
  readonly literal: boolean;
}

function expand(word: Word[], state: ShellState, status: number): string {
  return word
    .map((part) =>
      part.literal
        ? part.text
        : part.text.replaceAll(
            /\$(\w+|\?)|\$\{(\w+)\}/g,
            (_all, name: string | undefined, braced: string | undefined) =>
              name === "?" ? String(status) : (state.env.get(name ?? braced ?? "") ?? ""),
          ),
    )
    .join("");
}

/** Splits shell text into simple commands and how each is joined to the one before. */
function parse(script: string): { joint: string; words: Word[][] }[] {
  const commands: { joint: string; words: Word[][] }[] = [];
  let words: Word[][] = [];
  let joint = ";";
  const end = (next: string): void => {
    if (words.length > 0) commands.push({ joint, words });
    words = [];
    joint = next;
  };
  const token = /\s*(\n|;|&&|\|\||>>|>|#[^\n]*|(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s;&|<>'"\\])+)/gy;
  for (let match = token.exec(script); match; match = token.exec(script)) {
    const piece = match[1] ?? "";
    if (piece.startsWith("#")) continue;
    if (piece === "\n" || piece === ";" || piece === "&&" || piece === "||") end(piece);
    else words.push(parseWord(piece));
  }
  end(";");
  return commands;
}

function parseWord(piece: string): Word[] {
  return [...piece.matchAll(/'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)|([^'"\\]+)/gs)].map(
    ([, single, double, escaped, bare]) => {
      if (single !== undefined) return { text: single, literal: true };
      if (double !== undefined) return { text: double.replaceAll(/\\(["\\$`])/g, "$1"), literal: false };
      return escaped !== undefined ? { text: escaped, literal: true } : { text: bare ?? "", literal: bare === "$$" };
    },
  );
}
