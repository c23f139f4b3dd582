import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import type { SandboxProvider } from "../../core/sandbox.ts";
import type { Bench } from "../contract/sandbox.ts";
import type { Attack, Control } from "./attack.ts";

/**
 * Kernel calls that no command may make. Each is made with arguments that are harmless or invalid, so that the control
 * can make the same call on the machine itself: there it is not refused, or fails for its arguments.
 */
interface Call {
  readonly name: string;
  readonly nr: number;
  readonly args: readonly number[];
  /** What the sandbox answers: an error number, or "0" where a call is answered without effect. */
  readonly refused: readonly string[];
  /** Numbers of payloads.ts. (Default: the surface that no build or test needs) */
  readonly of?: readonly number[];
  /** Why there is no control, where there is none. */
  readonly noControl?: string;
}

/** Calls that are refused because nothing in a build or a test needs them. */
const SURFACE = 89;
const BAD = 1; // an address that nothing is at
const EPERM = ["EPERM"];
const GONE = ["ENOSYS"];

/** x86-64 numbers. */
const calls: readonly Call[] = [
  { name: "mount", nr: 165, args: [BAD, BAD, BAD, 0, 0], refused: EPERM, of: [15] },
  { name: "umount2", nr: 166, args: [BAD, 0], refused: EPERM, of: [15] },
  { name: "pivot_root", nr: 155, args: [BAD, BAD], refused: EPERM, of: [15] },
  { name: "chroot", nr: 161, args: [BAD], refused: EPERM, of: [15] },
  {
    name: "unshare of a user namespace",
    nr: 272,
    args: [0x10000000],
    refused: EPERM,
    of: [16],
    noControl: "the control would change the test's own process",
  },
  { name: "unshare of nothing", nr: 272, args: [0], refused: EPERM, of: [16] },
  { name: "setns", nr: 308, args: [-1, 0], refused: EPERM, of: [16] },
  {
    name: "clone into a user namespace",
    nr: 56,
    args: [0x10000000 | 0x100, 0, 0, 0, 0],
    refused: [...EPERM, "EINVAL"],
    of: [16, 87],
    noControl: "it would fork the interpreter",
  },
  { name: "clone3", nr: 435, args: [BAD, 88], refused: GONE, of: [55] },
  { name: "io_uring_setup", nr: 425, args: [1, BAD], refused: GONE, of: [20] },
  { name: "io_uring_enter", nr: 426, args: [-1, 0, 0, 0, 0, 0], refused: GONE, of: [20] },
  { name: "io_uring_register", nr: 427, args: [-1, 0, 0, 0], refused: GONE, of: [20] },
  { name: "open_tree", nr: 428, args: [-1, BAD, 0], refused: EPERM, of: [15] },
  { name: "move_mount", nr: 429, args: [-1, BAD, -1, BAD, 0], refused: EPERM, of: [15] },
  { name: "fsopen", nr: 430, args: [BAD, 0], refused: EPERM, of: [15] },
  { name: "fsconfig", nr: 431, args: [-1, 0, 0, 0, 0], refused: EPERM, of: [15] },
  { name: "fsmount", nr: 432, args: [-1, 0, 0], refused: EPERM, of: [15] },
  { name: "fspick", nr: 433, args: [-1, BAD, 0], refused: EPERM, of: [15] },
  { name: "mount_setattr", nr: 442, args: [-1, BAD, 0, BAD, 32], refused: EPERM, of: [15] },
  { name: "statmount", nr: 457, args: [BAD, BAD, 8, 0], refused: EPERM, of: [76] },
  { name: "listmount", nr: 458, args: [BAD, BAD, 8, 0], refused: EPERM, of: [76] },
  { name: "open_tree_attr", nr: 467, args: [-1, BAD, 0, BAD, 32], refused: EPERM, of: [15] },
  { name: "bpf", nr: 321, args: [0, BAD, 8], refused: EPERM },
  { name: "perf_event_open", nr: 298, args: [BAD, 0, -1, -1, 0], refused: EPERM },
  { name: "userfaultfd", nr: 323, args: [0xffff], refused: EPERM },
  { name: "add_key", nr: 248, args: [BAD, BAD, 0, 0, -3], refused: EPERM, of: [26] },
  { name: "request_key", nr: 249, args: [BAD, BAD, 0, 0], refused: EPERM, of: [26] },
  { name: "keyctl", nr: 250, args: [9999, 0, 0, 0, 0], refused: EPERM, of: [26] },
  { name: "init_module", nr: 175, args: [BAD, 0, BAD], refused: EPERM },
  { name: "finit_module", nr: 313, args: [-1, BAD, 0], refused: EPERM },
  { name: "delete_module", nr: 176, args: [BAD, 0], refused: EPERM },
  { name: "kexec_load", nr: 246, args: [0, 99, BAD, -1], refused: EPERM },
  { name: "name_to_handle_at", nr: 303, args: [-1, BAD, BAD, BAD, 0], refused: EPERM, of: [27] },
  { name: "open_by_handle_at", nr: 304, args: [-1, BAD, 0], refused: EPERM, of: [27] },
  { name: "pidfd_getfd", nr: 438, args: [-1, 0, 0], refused: EPERM, of: [56] },
  { name: "process_vm_readv of PID 1", nr: 310, args: [1, BAD, 1, BAD, 1, 0], refused: EPERM, of: [13, 56] },
  { name: "process_vm_writev of PID 1", nr: 311, args: [1, BAD, 1, BAD, 1, 0], refused: EPERM, of: [13, 56] },
  {
    name: "kcmp with PID 1",
    nr: 312,
    args: [1, 1, 99, 0, 0],
    refused: EPERM,
    of: [56],
    noControl: "PID 1 of a machine may be out of its own root's reach",
  },
  { name: "settimeofday", nr: 164, args: [BAD, 0], refused: EPERM, of: [34] },
  { name: "clock_settime", nr: 227, args: [0, BAD], refused: EPERM, of: [34] },
  { name: "adjtimex", nr: 159, args: [BAD], refused: EPERM, of: [34] },
  { name: "reboot", nr: 169, args: [1, 2, 3, 0], refused: EPERM },
  { name: "swapon", nr: 167, args: [BAD, 0], refused: EPERM },
  { name: "acct", nr: 163, args: [BAD], refused: EPERM },
  { name: "quotactl", nr: 179, args: [0, BAD, 0, 0], refused: EPERM },
  { name: "syslog", nr: 103, args: [10, 0, 0], refused: EPERM, of: [19] },
  { name: "sethostname", nr: 170, args: [BAD, 5], refused: EPERM },
  { name: "iopl", nr: 172, args: [99], refused: EPERM },
  { name: "ioperm", nr: 173, args: [0x400000, 1, 1], refused: EPERM },
  { name: "modify_ldt", nr: 154, args: [0, BAD, 0], refused: EPERM },
  { name: "fanotify_init", nr: 300, args: [0xffffffff, 0], refused: EPERM },
  { name: "move_pages", nr: 279, args: [0, 1, BAD, 0, BAD, 0], refused: EPERM },
  { name: "memfd_secret", nr: 447, args: [0xffff], refused: EPERM, of: [4, 89] },
  { name: "cachestat", nr: 451, args: [-1, BAD, BAD, 0], refused: EPERM, of: [83] },
  { name: "mincore of shared pages", nr: 27, args: [0, 0, 0], refused: EPERM, of: [83] },
  { name: "io_setup", nr: 206, args: [0, BAD], refused: EPERM, of: [81] },
  { name: "lookup_dcookie", nr: 212, args: [0, BAD, 0], refused: EPERM },
  { name: "personality of another kernel", nr: 135, args: [0x0040000], refused: EPERM, of: [55] },
  { name: "a vsock socket", nr: 41, args: [40, 1, 0], refused: ["EAFNOSUPPORT"], of: [21] },
  { name: "a packet socket", nr: 41, args: [17, 3, 0], refused: ["EAFNOSUPPORT"], of: [22] },
  {
    name: "an AF_ALG socket",
    nr: 41,
    args: [38, 5, 0],
    refused: ["EAFNOSUPPORT"],
    of: [22],
    noControl: "the machine may lack the family",
  },
  { name: "a raw socket", nr: 41, args: [2, 3, 1], refused: EPERM, of: [22] },
  {
    name: "an SCTP socket",
    nr: 41,
    args: [2, 1, 132],
    refused: ["EPROTONOSUPPORT"],
    of: [22],
    noControl: "the machine may lack the protocol",
  },
  { name: "netlink of the firewall", nr: 41, args: [16, 3, 12], refused: ["EPROTONOSUPPORT"], of: [22, 70] },
  {
    name: "netlink of IPsec",
    nr: 41,
    args: [16, 3, 6],
    refused: ["EPROTONOSUPPORT"],
    of: [22, 70],
    noControl: "the machine may lack it",
  },
  { name: "seccomp with user notification", nr: 317, args: [1, 8, BAD], refused: EPERM, of: [88] },
  { name: "limits of PID 1", nr: 302, args: [1, 7, 0, 0], refused: EPERM, of: [56] },
  {
    name: "the agent's user id",
    nr: 105,
    args: [65532],
    refused: EPERM,
    of: [56],
    noControl: "the control would change the test's own process",
  },
  {
    name: "the agent's user id by setresuid",
    nr: 117,
    args: [-1, 65532, -1],
    refused: EPERM,
    of: [56],
    noControl: "the control would change the test's own process",
  },
  {
    name: "the agent's user id with high bits set",
    nr: 105,
    args: [0x1_0000_fffc],
    refused: EPERM,
    of: [56, 87],
    noControl: "the control would change the test's own process",
  },
  { name: "typing into a terminal (TIOCSTI)", nr: 16, args: [0, 0x5412, BAD], refused: EPERM, of: [88] },
  { name: "a line discipline (TIOCSETD)", nr: 16, args: [0, 0x5423, BAD], refused: EPERM, of: [88] },
  {
    name: "x32 numbers",
    nr: 0x40000000 + 39,
    args: [],
    refused: GONE,
    of: [55],
    noControl: "most kernels have no x32",
  },
  {
    name: "a fake success of sync",
    nr: 162,
    args: [],
    refused: ["0"],
    of: [36, 86],
    noControl: "the answer is the same; it just costs nothing",
  },
  {
    name: "a Bluetooth socket",
    nr: 41,
    args: [31, 3, 1],
    refused: ["EAFNOSUPPORT"],
    of: [22],
    noControl: "the machine may lack the family",
  },
  {
    name: "reads that tell what is cached (RWF_NOWAIT)",
    nr: 327,
    args: [-1, BAD, 0, 0, 0, 8],
    refused: ["EOPNOTSUPP", "ENOTSUP"],
    of: [83],
  },
  { name: "eviction of shared pages (DONTNEED)", nr: 221, args: [-1, 0, 0, 4], refused: ["0"], of: [83] },
  { name: "eviction of mapped pages (PAGEOUT)", nr: 28, args: [BAD, 4096, 21], refused: ["0"], of: [83] },
  { name: "reads of PID 1's memory advice", nr: 440, args: [-1, BAD, 0, 0, 0], refused: EPERM, of: [56] },
  { name: "fanotify marks", nr: 301, args: [-1, 0, 0, -1, BAD], refused: EPERM, of: [82] },
  { name: "migrate_pages", nr: 256, args: [0, 1, BAD, BAD], refused: EPERM },
  { name: "swapoff", nr: 168, args: [BAD], refused: EPERM, of: [15] },
  { name: "kexec_file_load", nr: 320, args: [-1, -1, 0, BAD, 0x99], refused: EPERM },
];

/** Every call in a child of its own, for one may end its caller. */
const PROBE = `
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def ask(nr, args):
  r, w = os.pipe()
  child = os.fork()
  if child == 0:
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) for a in args])
    os.write(w, (errno.errorcode.get(ctypes.get_errno(), "?") if r == -1 else str(r)).encode())
    os._exit(0)
  os.close(w)
  said = os.read(r, 100).decode()
  os.close(r)
  return said if os.waitpid(child, 0)[1] == 0 else "killed"
print(json.dumps([ask(nr, args) for nr, args in json.loads(sys.argv[1])]))
`;

const argvOf = (list: readonly Call[]): string[] => [
  "/usr/bin/python3",
  "-c",
  PROBE,
  JSON.stringify(list.map(({ nr, args }) => [nr, args])),
];

function answersOf(list: readonly Call[], said: string): ReadonlyMap<string, string> {
  const answers: unknown = JSON.parse(said);
  if (!Array.isArray(answers)) throw new Error(`not a list: ${said}`);
  return new Map(list.map((call, i) => [call.name, String(answers[i])]));
}

const inside = new WeakMap<SandboxProvider, Promise<ReadonlyMap<string, string>>>();

/** All calls are made in the first sandbox that is asked: each is harmless, and an interpreter's start is not free. */
function sandboxAnswers({ provider, sandbox }: Bench): Promise<ReadonlyMap<string, string>> {
  let answers = inside.get(provider);
  if (answers === undefined) {
    answers = sandbox
      .exec({ argv: argvOf(calls), timeoutMs: 20_000 })
      .then(({ stdout }) => answersOf(calls, Buffer.from(stdout).toString()));
    inside.set(provider, answers);
  }
  return answers;
}

let onMachine: ReadonlyMap<string, string> | undefined;

/** Every call with a control, made once on the machine itself. */
function machineAnswers(): ReadonlyMap<string, string> {
  const list = calls.filter((call) => !call.noControl);
  const [program = "", ...rest] = argvOf(list);
  onMachine ??= answersOf(list, execFileSync(program, rest, { encoding: "utf8" }));
  return onMachine;
}

const controlOf = ({ name, refused, noControl }: Call): Control =>
  noControl === undefined
    ? { run: async () => expect(refused).not.toContain(machineAnswers().get(name)) }
    : { none: noControl };

export const syscallCases: readonly Attack[] = calls.map((call) => ({
  name: `refuses ${call.name}`,
  of: call.of ?? [SURFACE],
  control: controlOf(call),
  run: async (bench) => expect(call.refused).toContain((await sandboxAnswers(bench)).get(call.name)),
}));
