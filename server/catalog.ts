import { frameworks, policies } from "../environments/catalog.ts";
import { importers } from "../environments/tasks/importers.ts";
import { openSharedCatalog, type SharedCatalogOptions } from "../environments/tasks/shared-catalog.ts";
import { verifiers } from "../verifiers/catalog.ts";
import type { Catalog } from "./parts.ts";

/** Everything that the product ships, and what was imported at any host. */
export const openCatalog = (options: SharedCatalogOptions): Catalog => ({
  tasks: openSharedCatalog(options),
  frameworks,
  verifiers,
  policies,
  formats: [...importers.keys()],
});
