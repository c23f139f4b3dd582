import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import type { Behaviour } from "../contract/sandbox.ts";

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
  /** Why there is no control, where there is none. */
  readonly noControl?: string;
}

const BAD = 1; // an address that nothing is at
const EPERM = ["EPERM"];
const GONE = ["ENOSYS"];

/** x86-64 numbers. */
const calls: readonly Call[] = [
  { name: "mount", nr: 165, args: [BAD, BAD, BAD, 0, 0], refused: EPERM },
  { name: "umount2", nr: 166, args: [BAD, 0], refused: EPERM },
  { name: "pivot_root", nr: 155, args: [BAD, BAD], refused: EPERM },
  { name: "chroot", nr: 161, args: [BAD], refused: EPERM },
  {
    name: "unshare of a user namespace",
    nr: 272,
    args: [0x10000000],
    refused: EPERM,
    noControl: "the control would change the test's own process",
  },
  { name: "unshare of nothing", nr: 272, args: [0], refused: EPERM },
  { name: "setns", nr: 308, args: [-1, 0], refused: EPERM },
  {
    name: "clone into a user namespace",
    nr: 56,
    args: [0x10000000 | 0x100, 0, 0, 0, 0],
    refused: [...EPERM, "EINVAL"],
    noControl: "it would fork the interpreter",
  },
  { name: "clone3", nr: 435, args: [BAD, 88], refused: GONE },
  { name: "io_uring_setup", nr: 425, args: [1, BAD], refused: GONE },
  { name: "io_uring_enter", nr: 426, args: [-1, 0, 0, 0, 0, 0], refused: GONE },
  { name: "io_uring_register", nr: 427, args: [-1, 0, 0, 0], refused: GONE },
  { name: "open_tree", nr: 428, args: [-1, BAD, 0], refused: EPERM },
  { name: "move_mount", nr: 429, args: [-1, BAD, -1, BAD, 0], refused: EPERM },
  { name: "fsopen", nr: 430, args: [BAD, 0], refused: EPERM },
  { name: "fsconfig", nr: 431, args: [-1, 0, 0, 0, 0], refused: EPERM },
  { name: "fsmount", nr: 432, args: [-1, 0, 0], refused: EPERM },
  { name: "fspick", nr: 433, args: [-1, BAD, 0], refused: EPERM },
  { name: "mount_setattr", nr: 442, args: [-1, BAD, 0, BAD, 32], refused: EPERM },
  { name: "statmount", nr: 457, args: [BAD, BAD, 8, 0], refused: EPERM },
  { name: "listmount", nr: 458, args: [BAD, BAD, 8, 0], refused: EPERM },
  { name: "open_tree_attr", nr: 467, args: [-1, BAD, 0, BAD, 32], refused: EPERM },
  { name: "bpf", nr: 321, args: [0, BAD, 8], refused: EPERM },
  { name: "perf_event_open", nr: 298, args: [BAD, 0, -1, -1, 0], refused: EPERM },
  { name: "userfaultfd", nr: 323, args: [0xffff], refused: EPERM },
  { name: "add_key", nr: 248, args: [BAD, BAD, 0, 0, -3], refused: EPERM },
  { name: "request_key", nr: 249, args: [BAD, BAD, 0, 0], refused: EPERM },
  { name: "keyctl", nr: 250, args: [9999, 0, 0, 0, 0], refused: EPERM },
  { name: "init_module", nr: 175, args: [BAD, 0, BAD], refused: EPERM },
  { name: "finit_module", nr: 313, args: [-1, BAD, 0], refused: EPERM },
  { name: "delete_module", nr: 176, args: [BAD, 0], refused: EPERM },
  { name: "kexec_load", nr: 246, args: [0, 99, BAD, -1], refused: EPERM },
  { name: "name_to_handle_at", nr: 303, args: [-1, BAD, BAD, BAD, 0], refused: EPERM },
  { name: "open_by_handle_at", nr: 304, args: [-1, BAD, 0], refused: EPERM },
  { name: "pidfd_getfd", nr: 438, args: [-1, 0, 0], refused: EPERM },
  { name: "process_vm_readv of PID 1", nr: 310, args: [1, BAD, 1, BAD, 1, 0], refused: EPERM },
  { name: "process_vm_writev of PID 1", nr: 311, args: [1, BAD, 1, BAD, 1, 0], refused: EPERM },
  {
    name: "kcmp with PID 1",
    nr: 312,
    args: [1, 1, 99, 0, 0],
    refused: EPERM,
    noControl: "PID 1 of a machine may be out of its own root's reach",
  },
  { name: "settimeofday", nr: 164, args: [BAD, 0], refused: EPERM },
  { name: "clock_settime", nr: 227, args: [0, BAD], refused: EPERM },
  { name: "adjtimex", nr: 159, args: [BAD], refused: EPERM },
  { name: "reboot", nr: 169, args: [1, 2, 3, 0], refused: EPERM },
  { name: "swapon", nr: 167, args: [BAD, 0], refused: EPERM },
  { name: "acct", nr: 163, args: [BAD], refused: EPERM },
  { name: "quotactl", nr: 179, args: [0, BAD, 0, 0], refused: EPERM },
  { name: "syslog", nr: 103, args: [10, 0, 0], refused: EPERM },
  { name: "sethostname", nr: 170, args: [BAD, 5], refused: EPERM },
  { name: "iopl", nr: 172, args: [99], refused: EPERM },
  { name: "ioperm", nr: 173, args: [0x400000, 1, 1], refused: EPERM },
  { name: "modify_ldt", nr: 154, args: [0, BAD, 0], refused: EPERM },
  { name: "fanotify_init", nr: 300, args: [0xffffffff, 0], refused: EPERM },
  { name: "move_pages", nr: 279, args: [0, 1, BAD, 0, BAD, 0], refused: EPERM },
  { name: "memfd_secret", nr: 447, args: [0xffff], refused: EPERM },
  { name: "cachestat", nr: 451, args: [-1, BAD, BAD, 0], refused: EPERM },
  { name: "mincore of shared pages", nr: 27, args: [0, 0, 0], refused: EPERM },
  { name: "io_setup", nr: 206, args: [0, BAD], refused: EPERM },
  { name: "lookup_dcookie", nr: 212, args: [0, BAD, 0], refused: EPERM },
  { name: "personality of another kernel", nr: 135, args: [0x0040000], refused: EPERM },
  { name: "a vsock socket", nr: 41, args: [40, 1, 0], refused: ["EAFNOSUPPORT"] },
  { name: "a packet socket", nr: 41, args: [17, 3, 0], refused: ["EAFNOSUPPORT"] },
  {
    name: "an AF_ALG socket",
    nr: 41,
    args: [38, 5, 0],
    refused: ["EAFNOSUPPORT"],
    noControl: "the machine may lack the family",
  },
  { name: "a raw socket", nr: 41, args: [2, 3, 1], refused: EPERM },
  {
    name: "an SCTP socket",
    nr: 41,
    args: [2, 1, 132],
    refused: ["EPROTONOSUPPORT"],
    noControl: "the machine may lack the protocol",
  },
  { name: "netlink of the firewall", nr: 41, args: [16, 3, 12], refused: ["EPROTONOSUPPORT"] },
  {
    name: "netlink of IPsec",
    nr: 41,
    args: [16, 3, 6],
    refused: ["EPROTONOSUPPORT"],
    noControl: "the machine may lack it",
  },
  { name: "seccomp with user notification", nr: 317, args: [1, 8, BAD], refused: EPERM },
  { name: "limits of PID 1", nr: 302, args: [1, 7, 0, 0], refused: EPERM },
  {
    name: "the agent's user id",
    nr: 105,
    args: [65532],
    refused: EPERM,
    noControl: "the control would change the test's own process",
  },
  {
    name: "the agent's user id by setresuid",
    nr: 117,
    args: [-1, 65532, -1],
    refused: EPERM,
    noControl: "the control would change the test's own process",
  },
  {
    name: "the agent's user id with high bits set",
    nr: 105,
    args: [0x1_0000_fffc],
    refused: EPERM,
    noControl: "the control would change the test's own process",
  },
  { name: "typing into a terminal (TIOCSTI)", nr: 16, args: [0, 0x5412, BAD], refused: EPERM },
  { name: "a line discipline (TIOCSETD)", nr: 16, args: [0, 0x5423, BAD], refused: EPERM },
  { name: "x32 numbers", nr: 0x40000000 + 39, args: [], refused: GONE, noControl: "most kernels have no x32" },
  {
    name: "a fake success of sync",
    nr: 162,
    args: [],
    refused: ["0"],
    noControl: "the answer is the same; it just costs nothing",
  },
];

const PROBE = `
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
out = []
for nr, args in json.loads(sys.argv[1]):
  ctypes.set_errno(0)
  r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) for a in args])
  out.append(errno.errorcode.get(ctypes.get_errno(), "?") if r == -1 else str(r))
print(json.dumps(out))
`;

function probe(list: readonly Call[]): string[] {
  return ["-c", PROBE, JSON.stringify(list.map((call) => [call.nr, call.args]))];
}

let onMachine: Promise<Map<string, string>> | undefined;

/** Every call with a control, made once on the machine itself. */
function machineAnswers(): Promise<Map<string, string>> {
  onMachine ??= Promise.resolve().then(() => {
    const list = calls.filter((call) => !call.noControl);
    const said: unknown = JSON.parse(execFileSync("/usr/bin/python3", probe(list), { encoding: "utf8" }));
    return new Map(list.map((call, i) => [call.name, Array.isArray(said) ? String(said[i]) : "?"]));
  });
  return onMachine;
}

export const syscallCases: readonly Behaviour[] = calls.map((call) => ({
  name: `refuses ${call.name}`,
  run: async ({ sandbox }) => {
    const result = await sandbox.exec({ argv: ["/usr/bin/python3", ...probe([call])], timeoutMs: 20_000 });
    const said: unknown = JSON.parse(Buffer.from(result.stdout).toString());
    expect(call.refused).toContain(Array.isArray(said) ? said[0] : said);
    if (call.noControl || process.geteuid?.() !== 0) return; // without root the machine refuses most of them by itself
    expect(call.refused).not.toContain((await machineAnswers()).get(call.name));
  },
}));
