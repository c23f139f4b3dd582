import { spawnSync } from "node:child_process";
import { installByApt } from "./apt.ts";

/** Hosts with their own addresses: network namespaces, each with one cable to the middle. */
export interface NetHosts extends Disposable {
  readonly middle: NetHost;
  readonly edges: readonly EdgeHost[];
}

export interface NetHost {
  /** Name of the namespace. */
  readonly name: string;
  /** What a command line begins with to run there. */
  readonly enter: readonly string[];
  /** Of the middle, as this host reaches it; of the middle itself, as the test reaches it. */
  readonly middleAddress: string;
}

export interface EdgeHost extends NetHost {
  /** Pulls the cable, or plugs it in again. */
  setLink(state: "up" | "down"): void;
}

function ip(...args: string[]): void {
  const done = spawnSync("ip", args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`ip ${args.join(" ")}: ${done.stderr?.trim() || done.error?.message}`);
}

/** The machine's end of the test's cable and `edges` hosts around one in the middle; or why this machine cannot. */
export function openNetHosts(edges: number): NetHosts | { missing: string } {
  const tag = `pg${process.pid.toString(36)}`;
  const made: string[] = [];
  const dispose = () => {
    // A namespace takes its cables with it.
    for (const name of made) spawnSync("ip", ["netns", "del", name]);
  };
  try {
    if (spawnSync("ip", ["-V"]).error !== undefined) {
      const problem = installByApt("iproute2");
      if (problem !== null) return { missing: problem };
    }
    const add = (name: string): string => {
      ip("netns", "add", name);
      made.push(name);
      ip("-n", name, "link", "set", "lo", "up");
      return name;
    };
    const middle = add(`${tag}-mid`);
    const subnet = `10.${200 + (process.pid % 50)}.${Math.floor(process.pid / 50) % 250}`;
    const address = (cable: number, end: 1 | 2) => `${subnet}.${4 * cable + end}`;
    const enter = (name: string) => ["nsenter", `--net=/run/netns/${name}`];
    cable({ from: null, to: middle, device: `${tag}t`, addresses: [address(0, 1), address(0, 2)] });
    return {
      middle: { name: middle, enter: enter(middle), middleAddress: address(0, 2) },
      edges: Array.from({ length: edges }, (_, i) => {
        const name = add(`${tag}-${i + 1}`);
        const device = `${tag}${i + 1}`;
        cable({ from: middle, to: name, device, addresses: [address(i + 1, 1), address(i + 1, 2)] });
        return {
          name,
          enter: enter(name),
          middleAddress: address(i + 1, 1),
          setLink: (state) => ip("-n", middle, "link", "set", `${device}a`, state),
        };
      }),
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

interface Cable {
  /** Null: the machine itself. */
  readonly from: string | null;
  readonly to: string;
  readonly device: string;
  readonly addresses: readonly [string, string];
}

/** Nothing is routed from one cable to another: a host reaches the middle and nobody else. */
function cable({ from, to, device, addresses: [near, far] }: Cable): void {
  const at = from === null ? [] : ["-n", from];
  ip(...at, "link", "add", `${device}a`, "type", "veth", "peer", "name", `${device}b`, "netns", to);
  ip(...at, "addr", "add", `${near}/30`, "dev", `${device}a`);
  ip(...at, "link", "set", `${device}a`, "up");
  ip("-n", to, "addr", "add", `${far}/30`, "dev", `${device}b`);
  ip("-n", to, "link", "set", `${device}b`, "up");
}
