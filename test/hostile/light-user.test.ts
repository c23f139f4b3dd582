import { rm } from "node:fs/promises";
import { afterAll } from "vitest";
import { openProvider } from "../../docker/catalog.ts";
import { becomeOrdinaryUser } from "../contract/ordinary-user.ts";
import { runHostileSuite, TIERS } from "./suite.ts";

/** The same programs without root. */
const { home, binary } = await becomeOrdinaryUser();
afterAll(() => rm(home, { recursive: true, force: true }));

runHostileSuite(TIERS.user, () => openProvider({ tier: "light", home, binary, warm: 0 }));
