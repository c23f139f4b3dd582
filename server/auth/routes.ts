import { API_ROLES, type ApiRole } from "../../core/records.ts";

/** open: nobody is asked who they are. socket: a header, or the `auth` op afterwards. Else: one of these roles. */
export type Access = "open" | "socket" | readonly ApiRole[];

const all = API_ROLES;
const acting = ["trainer", "evaluator", "operator"] as const;
const anyOwner = ["trainer", "evaluator", "author", "operator"] as const;
const authoring = ["author", "operator"] as const;
const operator = ["operator"] as const;

/** Every route and who may use it. A route that is not here cannot be registered. */
export const ROUTES = {
  "GET /health/live": "open",
  "GET /health/ready": "open",
  "GET /health/startup": "open",
  "GET /v1/tasks": all,
  "GET /v1/tasks/*": all,
  "POST /v1/tasks": authoring,
  "GET /v1/frameworks": all,
  "GET /v1/frameworks/*": all,
  "GET /v1/verifiers": all,
  "GET /v1/verifiers/*": all,
  "GET /v1/matrix": all,
  "GET /v1/capacity": all,
  "GET /v1/workers": all,
  "GET /v1/runs": all,
  "POST /v1/workers/:worker/drain": operator,
  "POST /v1/workers/:worker/resume": operator,
  "GET /v1/queues/:queue/why": all,
  "POST /v1/queues/:queue/pause": operator,
  "POST /v1/queues/:queue/resume": operator,
  "GET /v1/blobs/:digest": all,
  "POST /v1/episodes": acting,
  "GET /v1/episodes": all,
  "GET /v1/episodes/:id": all,
  "DELETE /v1/episodes/:id": anyOwner,
  "POST /v1/episodes/:id/step": acting,
  "POST /v1/episodes/:id/finish": acting,
  "POST /v1/episodes/:id/fork": acting,
  "POST /v1/episodes/:id/snapshot": acting,
  "POST /v1/episodes/:id/rescore": acting,
  "GET /v1/episodes/:id/trajectory": all,
  "GET /v1/episodes/:id/verdicts": all,
  "GET /v1/episodes/:id/why": all,
  "POST /v1/batch/episodes": acting,
  "POST /v1/batch/steps": acting,
  "POST /v1/batch/verify": ["trainer", ...authoring],
  "POST /v1/verify": ["trainer", ...authoring],
  "POST /v1/rollouts": authoring,
  "GET /v1/rollouts/:id": all,
  "POST /v1/imports": authoring,
  "GET /v1/imports/:job_id": authoring,
  "POST /v1/validations": authoring,
  "GET /v1/validations/:job_id": authoring,
  "GET /v1/images": operator,
  "POST /v1/images": operator,
  "POST /v1/images/gc": operator,
  "GET /v1/images/:name/log": operator,
  "DELETE /v1/images/:name/build": operator,
  "GET /v1/builds/:job_id": operator,
  "POST /v1/tokens": operator,
  "GET /v1/tokens": operator,
  "DELETE /v1/tokens/:token_id": operator,
  "POST /v1/logins": all,
  "GET /v1/ws": "socket",
  "GET /metrics": ["viewer", "operator"],
  "GET /openapi.json": all,
  "GET /episodes/:id": all,
} as const satisfies Record<string, Access>;
export type RouteKey = keyof typeof ROUTES;

/** Pages that plug-ins register by themselves, by the start of their path. */
export const PLUGIN_PAGES: readonly { readonly prefix: string; readonly access: Access }[] = [
  { prefix: "/docs", access: all },
  { prefix: "/ops/queues", access: operator },
];

const accessOf: ReadonlyMap<string, Access> = new Map(Object.entries(ROUTES));

/** Undefined: nobody decided who may use it. */
export function accessFor(method: string, url: string): Access | undefined {
  const plugin = PLUGIN_PAGES.find(({ prefix }) => url === prefix || url.startsWith(`${prefix}/`));
  return plugin?.access ?? accessOf.get(`${method} ${url}`);
}
