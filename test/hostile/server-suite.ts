import type { ServerAttack } from "./server-attacks.ts";
import { floodAttacks } from "./server-floods.ts";
import { rightsAttacks } from "./server-rights.ts";
import { textAttacks } from "./server-texts.ts";

/** Every attack on the server. */
export const serverAttacks: readonly ServerAttack[] = [...rightsAttacks, ...textAttacks, ...floodAttacks];
