import { Option } from "commander";
import type { Config } from "../platform/config.ts";

export interface SandboxOption {
  readonly sandbox?: Config["tier"] | undefined;
}

/** `--sandbox`, of each command that may start sandboxes. */
export function sandboxOption(): Option {
  return new Option(
    "--sandbox <tier>",
    "light needs no container engine, docker does [POLYGYM_SANDBOX, else light]",
  ).choices(["light", "docker"]);
}

export function sandboxOverrides({ sandbox }: SandboxOption): { readonly tier: Config["tier"] | undefined } {
  return { tier: sandbox };
}
