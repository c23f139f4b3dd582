import { frameworks, policies } from "../environments/catalog.ts";
import { openTaskCatalog } from "../environments/tasks/catalog.ts";
import { importers } from "../environments/tasks/importers.ts";
import { verifiers } from "../verifiers/catalog.ts";
import type { Catalog } from "./parts.ts";

/** Everything that the product ships, and what was imported into `home`. */
export const openCatalog = (options: { readonly home: string }): Catalog => ({
  tasks: openTaskCatalog(options),
  frameworks,
  verifiers,
  policies,
  formats: [...importers.keys()],
});
