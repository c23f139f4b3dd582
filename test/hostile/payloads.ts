/** Where an attack that is neither a program in a sandbox nor a client of the server is shown to fail. */
export interface Elsewhere {
  readonly file: string;
  /** A part of the test's name. */
  readonly test: string;
}

/** A way to do harm. Cases name the numbers that they are of; every number has a case, a test elsewhere, or a reason. */
export interface Payload {
  readonly title: string;
  readonly elsewhere?: readonly Elsewhere[];
  /** What is not covered, or all of it, and why. */
  readonly open?: string;
}

const ATTACKS = "test/attacks";
const contract = (test: string): Elsewhere => ({ file: "test/contract/sandbox-light.ts", test });

export const PAYLOADS: Readonly<Record<number, Payload>> = {
  1: { title: "a core pattern or another kernel setting is written" },
  2: { title: "a fork bomb" },
  3: { title: "daemons that leave their session and ignore signals" },
  4: { title: "memory: heap, shared memory, memory files, mappings, page tables, pipes" },
  5: { title: "a full disk, a terabyte without blocks" },
  6: {
    title: "millions of files, deep folders, odd names",
    elsewhere: [contract("removes folders ten thousand levels deep"), contract("lists a hundred thousand files")],
  },
  7: { title: "descriptors, pipes, watches and terminals exhausted" },
  8: { title: "floods of output", elsewhere: [contract("lets one gigabyte of output pass")] },
  9: { title: "bytes that are no text, escapes for terminals" },
  10: {
    title: "forged prompts, exit codes and reports",
    elsewhere: [contract("does not mistake what a program writes")],
  },
  11: { title: "endless sleep, busy loop, stopped process, blocked read" },
  12: { title: "kill everything, kill process 1, kill the agent" },
  13: { title: "tracing and memory of other processes" },
  14: { title: "set-user-id programs, sudo, su, file capabilities" },
  15: { title: "mount, unmount, pivot, remount" },
  16: { title: "nested user namespaces" },
  17: { title: "device nodes" },
  18: { title: "/sys, release agents of control groups" },
  19: { title: "kernel memory and logs" },
  20: { title: "io_uring" },
  21: { title: "vsock" },
  22: { title: "raw, packet, netlink and crypto sockets" },
  23: { title: "connections to anywhere" },
  24: { title: "names as a way out" },
  25: { title: "sockets of the machine" },
  26: {
    title: "keys, shared memory, queues and locks as a channel",
    open: "timing (processor frequency, caches, contention) is out of scope: see below",
  },
  27: { title: "paths, links and races of the file operations" },
  28: { title: "reading pipes, devices, memory, files that grow", elsewhere: [contract("does not wait on a pipe")] },
  29: {
    title: "archives that climb, carry links or devices, or unpack without end",
    elsewhere: [
      { file: "test/hostile/archives.test.ts", test: "an upload" },
      { file: "test/hostile/archives.test.ts", test: "a submission" },
      { file: "verifiers/clean-room/path-policy.test.ts", test: "set-user-id bits, devices and links" },
      { file: "verifiers/clean-room/apply.test.ts", test: "a link that leaves the workspace" },
    ],
  },
  30: {
    title: "hooks, filters and settings of a hostile git repository",
    elsewhere: [{ file: "test/hostile/archives.test.ts", test: "the gym runs no git" }],
  },
  31: {
    title: "patches that climb, rename out or write through links",
    elsewhere: [{ file: "test/hostile/archives.test.ts", test: "a patch" }],
  },
  32: {
    title: "start files and variables that change the judge's programs",
    elsewhere: [
      { file: "verifiers/clean-room/path-policy.test.ts", test: "is protected, unless the task allows it" },
      { file: `${ATTACKS}/suite-attacks.test.ts`, test: "scores 0, its honest twin 1" },
    ],
  },
  33: {
    title: "tampering with tests and reports",
    elsewhere: ["function", "program", "suite", "javascript"].map((kind) => ({
      file: `${ATTACKS}/${kind}-attacks.test.ts`,
      test: "scores 0, its honest twin 1",
    })),
  },
  34: { title: "the clock" },
  35: { title: "processor time and priority" },
  36: { title: "storms of synchronous writes" },
  37: { title: "slow headers, slow bodies, idle connections" },
  38: { title: "bodies: huge, deep, many keys, prototypes" },
  39: {
    title: "frames: huge, fragments, pings, compression, no mask, no reader",
    elsewhere: [
      { file: "test/server/socket.test.ts", test: "a reader that takes nothing is closed" },
      { file: "test/server/socket.test.ts", test: "a frame over 8 MiB closes with 1009" },
    ],
    open: "a half-open socket is found by its missing pong after 40 s; no test waits that long",
  },
  40: {
    title: "sockets and calls of a foreign page with a visitor's cookie",
    elsewhere: [{ file: "test/server/socket.test.ts", test: "a cookie from another page" }],
  },
  41: {
    title: "calls without a token, half a token, oddly spelt paths",
    elsewhere: [{ file: "test/server/socket.test.ts", test: "a revoked token's socket is refused" }],
  },
  42: { title: "another tenant's episodes, blobs and keys" },
  43: { title: "addresses that the server would dial" },
  44: { title: "ids that are commands or patterns of Redis" },
  45: {
    title: "poisoned jobs and letters",
    elsewhere: [
      { file: "test/contract/mailbox.test.ts", test: "a letter that cannot be read" },
      { file: "test/contract/queues.test.ts", test: "a job that is none" },
    ],
  },
  46: { title: "names that are commands of a shell" },
  47: { title: "scripts in texts, patterns that take for ever" },
  48: {
    title: "privileges asked for in a request or an image",
    elsewhere: [{ file: "test/docker/tier.test.ts", test: "names an image that is not there, and never pulls" }],
  },
  49: { title: "leaks", elsewhere: [{ file: "test/hostile/leaks.test.ts", test: "leave every count where it was" }] },
  50: { title: "prompts in files for a judge that is a model", open: "no verifier asks a model" },
  51: {
    title: "log and trajectory lines that are forged",
    elsewhere: [{ file: "platform/log.test.ts", test: "no secret in them" }],
    open: "a secret that a program prints is kept in its trajectory as any other text",
  },
  52: { title: "processor time that is hidden from the accounts" },
  53: { title: "another episode's model endpoint", open: "no sandbox has an endpoint: there is nothing to reach" },
  54: { title: "core dumps" },
  55: { title: "foreign architectures and call numbers" },
  56: { title: "taking the agent over: tracing, descriptors, limits, affinity, id" },
  57: {
    title: "crashing the agent so that a zero becomes nobody's fault",
    elsewhere: [{ file: "docker/light/start.test.ts", test: "whose doing it is" }],
  },
  58: { title: "kernel allowances of the neighbour" },
  59: { title: "fork bombs in many sandboxes at once" },
  60: { title: "locks on devices" },
  61: { title: "terminals of the machine" },
  62: { title: "files and memory that are more than the limit together" },
  63: { title: "an upload beyond the quota" },
  64: {
    title: "a thousand frozen states",
    elsewhere: [
      {
        file: "test/contract/sandbox-budget.test.ts",
        test: "a freeze waits for room, is refused without any, and leaves its sandbox open",
      },
    ],
  },
  65: { title: "memory of names and processes that outlives a command" },
  66: { title: "a background program that holds the output open" },
  67: {
    title: "a killed native host",
    elsewhere: [{ file: "test/hostile/leaks.test.ts", test: "a killed native host leaves no sandbox" }],
  },
  68: { title: "every inherited descriptor, redefined builtins" },
  69: {
    title: "long texts, thousands of spawns, broken frames",
    elsewhere: [
      contract("takes command texts from one byte to a megabyte"),
      { file: "test/hostile/protocol.test.ts", test: "every frame, without a fault" },
      { file: "test/hostile/sanitizer.test.ts", test: "built with sanitizers reads" },
    ],
  },
  70: { title: "netlink that changes the network" },
  71: { title: "files of the machine that only root may read" },
  72: { title: "exports of what may not travel", elsewhere: [contract("reports in an export what may not travel")] },
  73: { title: "attributes and nodes that change what a later overlay shows" },
  74: {
    title: "hostile archives of tasks and submissions",
    elsewhere: [{ file: "test/hostile/archives.test.ts", test: "an upload" }],
  },
  75: { title: "out-of-memory storms" },
  76: { title: "paths of the machine in mount tables" },
  77: { title: "a layer that is still in use" },
  78: { title: "leaving the group, the session, the leader" },
  79: { title: "figures of the machine in /proc" },
  80: { title: "locks on namespaces" },
  81: { title: "tables of the whole machine" },
  82: { title: "watches and locks on files of the shared image" },
  83: { title: "what is in the page cache" },
  84: { title: "standard streams that show the other end" },
  85: {
    title: "buffers and locks of the kernel that no group is charged for",
    open: "file locks (192 bytes each) are charged to nobody on cgroup v1; descriptors and time bound them",
  },
  86: { title: "sync of the whole machine" },
  87: { title: "arguments with bits that the kernel ignores" },
  88: { title: "typing into terminals, answering others' calls" },
  89: { title: "kernel calls that no build or test needs" },
  90: {
    title: "another name of the workspace: replaced, or used for links and protected names",
    elsewhere: [
      { file: "test/docker/working-folders.test.ts", test: "what an attempt does to the other name changes nothing" },
      { file: "test/docker/working-folders.test.ts", test: "a program that lies in the working folder is no tool" },
      { file: "verifiers/clean-room/path-policy.test.ts", test: "a link by the workspace's other name stays inside" },
    ],
  },
};
