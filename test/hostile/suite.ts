import type { SandboxProvider } from "../../core/sandbox.ts";
import { runSuite } from "../contract/sandbox-suite.ts";
import type { Attack } from "./attack.ts";
import { escapeCases } from "./escapes.ts";
import { fileCases } from "./files.ts";
import { neighbourCases } from "./neighbours.ts";
import { resourceCases } from "./resources.ts";
import { supervisorCases } from "./supervisor.ts";
import { syscallCases } from "./syscalls.ts";
import { tableCases } from "./tables.ts";
import { watchMachine, worksAsNew } from "./unchanged.ts";

/** Every hostile program that runs in a sandbox, the same in every tier. */
export const attacks: readonly Attack[] = [
  ...syscallCases,
  ...escapeCases,
  ...neighbourCases,
  ...supervisorCases,
  ...fileCases,
  ...resourceCases,
  ...tableCases,
];

export interface HostileTier {
  /** As the matrix in docs/sandbox-security.md calls it. */
  readonly title: string;
  /** Attacks that this tier does not answer as the others do, and why that is no hole, or which one it is. */
  readonly exceptions: Readonly<Record<string, string>>;
}

const ONE_USER = "all sandboxes of an ordinary user share that user's allowance of the kernel";

export const TIERS = {
  light: { title: "light", exceptions: {} },
  user: {
    title: "light, ordinary user",
    exceptions: {
      "inotify run out for this sandbox only": ONE_USER,
      "queued signals run out for this sandbox only": ONE_USER,
      "message queues run out for this sandbox only": ONE_USER,
      "pipe buffers run out for this sandbox only": ONE_USER,
      "cannot trace PID 1, read its memory, or slow it down":
        "it can slow its own agent down, for both have the user's one id; it can neither read nor trace it",
      "TCP buffers of a program stay below twice the memory limit":
        "the kernel's buffers are charged to no one without a control group; descriptors bound them",
      "locks its devices without a neighbour noticing":
        "an ordinary user cannot make device nodes: all sandboxes have the machine's own",
      "memory: a memory file beyond the limit ends that command only":
        "memory that is no process's own is not charged without a control group",
    },
  },
  docker: {
    title: "docker",
    exceptions: {
      "refuses x32 numbers": "the engine's filter ends such a program at once, which is stricter than an error",
      "sees no host path in its mount table": "an engine's mounts name the folder and the disk that they come from",
      "makes no device node and reads no disk": "the nodes are refused; the list differs by /dev/mqueue, its own",
      "finds no system folder of the kernel":
        "an engine mounts /sys read-only; what is masked in it: container-options.ts",
      "locks its namespaces without a neighbour noticing":
        "containers have the engine's user and time namespace, and no engine closes /proc/*/ns: two siblings can signal",
      "TCP buffers of a program stay below twice the memory limit":
        "an engine does not pass the bound of TCP buffers on; descriptors and processes bound them",
      "terminals run out for this sandbox only":
        "an engine bounds nobody's terminals but by descriptors and processes: several hostile containers can take all",
      "killing everything ends the killer's commands, not the sandbox":
        "a command cannot even reach its supervisor: it has another id, so only the command's own processes end",
      "killing its supervisor wins a program no time": "the kill is refused, and the time-out ends it",
    },
  },
} as const satisfies Record<string, HostileTier>;

const ONE_RANGE = "before Linux 6.3 the sandboxes of a worker share one range of ids, and its allowances";

/** Exceptions of the light tier on a Linux (6001 is 6.1) that maps no ids of a memory file system. */
export function exceptionsOn(linux: number): Readonly<Record<string, string>> {
  if (linux >= 6_003) return TIERS.light.exceptions;
  const shared = Object.entries(TIERS.user.exceptions).filter(([, reason]) => reason === ONE_USER);
  return Object.fromEntries(shared.map(([name]) => [name, ONE_RANGE]));
}

/** Runs every attack over one tier; after each, the machine is as it was and the next sandbox is as good as new. */
export function runHostileSuite(tier: HostileTier, open: () => Promise<SandboxProvider>): void {
  let unchanged: (() => Promise<void>) | undefined;
  runSuite({
    name: `hostile programs, ${tier.title}`,
    behaviours: attacks,
    exceptions: tier.exceptions,
    open,
    around: {
      fresh: async (sandbox) => {
        await worksAsNew(sandbox);
        unchanged ??= watchMachine();
      },
      after: async () => await unchanged?.(),
    },
  });
}
