import * as z from "zod";
import type { Sandbox, SelfCheck } from "../../core/sandbox.ts";
import type { Engine } from "../engine.ts";
import type { EngineTraits } from "./engine-needs.ts";
import type { FolderMounts } from "./folder-mounts.ts";

type Missing = SelfCheck["missing"][number];

const Info = z.object({
  ServerVersion: z.string(),
  MemoryLimit: z.boolean().optional(),
  SwapLimit: z.boolean().optional(),
  PidsLimit: z.boolean().optional(),
  CPUSet: z.boolean().optional(),
  CpuCfsQuota: z.boolean().optional(),
  CPUCfsQuota: z.boolean().optional(),
  SecurityOptions: z.array(z.string()).nullish(),
});

const Components = z.object({
  Components: z.array(z.object({ Name: z.string(), Version: z.string() })).nullish(),
});

const ALWAYS = ["read-only root file system", "no network", "no capabilities for commands", "disk quota", "time-outs"];

/** Each probe prints its name when the attack works. */
const PROBES = [
  {
    name: "core_pattern",
    what: "a read-only /proc/sys",
    script: "(echo x >/proc/sys/kernel/core_pattern) 2>/dev/null",
  },
  { name: "root", what: "commands without the machine's root id", script: "[ $(id -u) = 0 ]" },
  { name: "new_ns", what: "the list of kernel calls (unshare)", script: "unshare -U true 2>/dev/null" },
  { name: "usr", what: "read-only system folders", script: "(: >/usr/polygym-probe) 2>/dev/null" },
  {
    name: "net",
    what: "the network",
    script: "ls /sys/class/net /proc/sys/net/ipv4/conf 2>/dev/null | grep -qE '^(eth|en)'",
  },
];

const OPEN_ENGINE = "the engine itself: whoever reaches its port is root on its machine";
const FILE_COUNT = "number of files";
const OWN_FILES = "file locks and change notices of its own";

export interface SelfCheckFields {
  readonly engine: Engine;
  /** How its containers see this machine's folders. */
  readonly mounts: FolderMounts;
  readonly traits: EngineTraits;
  open(): Promise<Sandbox>;
}

/** What the engine says it enforces, and what a sandbox of it shows when it tries. */
export async function containerSelfCheck({ engine, mounts, traits, open }: SelfCheckFields): Promise<SelfCheck> {
  const info = Info.parse(await engine.call("ask the engine about itself", (docker) => docker.info()));
  const enforced = [...ALWAYS];
  const missing: Missing[] = [];
  const limits: readonly [boolean | undefined, string][] = [
    [info.MemoryLimit, "memory"],
    [info.SwapLimit, "swap"],
    [info.PidsLimit, "number of processes"],
    [info.CPUSet, "processor cores (nproc)"],
    [info.CPUCfsQuota ?? info.CpuCfsQuota, "processor time"],
    [info.SecurityOptions?.some((option) => option.includes("seccomp")), "system-call filter of the engine"],
  ];
  for (const [there, what] of limits) {
    if (there) enforced.push(what);
    else missing.push({ what, advice: "mount the control groups for the engine, or use a kernel that has them" });
  }
  if (info.SecurityOptions?.some((option) => option.includes("userns"))) enforced.push("user namespace of the engine");
  if (traits.memoryFolders === "full") enforced.push(FILE_COUNT);
  else
    missing.push({ what: FILE_COUNT, advice: "use Docker: memory and size still bound what Podman's sandboxes write" });
  if (mounts === "own") enforced.push(OWN_FILES);
  else
    missing.push({
      what: OWN_FILES,
      advice: "use images of the engine, or an engine whose driver local mounts overlays",
    });
  if (engine.transport === "tcp")
    missing.push({ what: OPEN_ENGINE, advice: "let it listen with --tlsverify, and set POLYGYM_DOCKER_CERTIFICATES" });
  const old = await oldRunc(engine);
  if (old) missing.push(old);
  await using sandbox = await open();
  missing.push(...(await probe(sandbox)));
  return { tier: "docker", mode: "root", enforced, missing };
}

async function probe(sandbox: Sandbox): Promise<Missing[]> {
  const script = PROBES.map(({ name, script: attack }) => `if ${attack}; then echo works:${name}; fi`).join("\n");
  const { stdout } = await sandbox.exec({ argv: ["/bin/sh", "-c", script], timeoutMs: 10_000 });
  const said = Buffer.from(stdout).toString();
  return PROBES.filter(({ name }) => said.includes(`works:${name}\n`)).map(({ what }) => ({
    what,
    advice: "do not run tasks here",
  }));
}

/** CVE-2025-31133, -52565 and -52881: an image with hostile links in /dev or /proc may get out while it starts. */
async function oldRunc(engine: Engine): Promise<Missing | null> {
  const { Components: parts } = Components.parse(
    await engine.call("ask for the engine's version", (docker) => docker.version()),
  );
  const version = parts?.find(({ Name }) => Name === "runc")?.Version ?? "";
  const [major = 0, minor = 0, patch = 0] = version.split(/[.+~-]/).map(Number);
  if (version === "" || major > 1 || minor > 2 || (minor === 2 && patch >= 8)) return null;
  return { what: `runc ${version} lacks the fixes of 1.2.8`, advice: "update runc, or use only images that you built" };
}
