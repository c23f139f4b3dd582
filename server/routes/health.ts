import * as z from "zod";
import type { Parts } from "../parts.ts";
import type { App } from "./app.ts";

const Live = z.object({ status: z.literal("ok"), loop_p99_ms: z.number() });
const Ready = z.object({
  status: z.enum(["ok", "not_ready"]),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string().nullable() })),
});

const tags = ["health"];

export function healthRoutes(app: App, parts: Parts, loop: () => number): void {
  app.get("/health/live", { schema: { tags, summary: "The process answers", response: { 200: Live } } }, async () => ({
    status: "ok" as const,
    loop_p99_ms: loop(),
  }));
  app.get(
    "/health/startup",
    { schema: { tags, summary: "The process has started", response: { 200: Live } } },
    async () => ({
      status: "ok" as const,
      loop_p99_ms: loop(),
    }),
  );
  app.get(
    "/health/ready",
    { schema: { tags, summary: "Work can be done", response: { 200: Ready, 503: Ready } } },
    async (_request, reply) => {
      const checks = [await redisCheck(parts), await storeCheck(parts), await workerCheck(parts)];
      const ok = checks.every((check) => check.ok);
      return reply.code(ok ? 200 : 503).send({ status: ok ? "ok" : "not_ready", checks });
    },
  );
}

type Check = z.infer<typeof Ready>["checks"][number];

async function redisCheck(parts: Parts): Promise<Check> {
  try {
    const problems = await parts.checkRedis();
    return { name: "redis", ok: problems.length === 0, detail: problems.length === 0 ? null : problems.join("; ") };
  } catch {
    return { name: "redis", ok: false, detail: "does not answer" };
  }
}

async function storeCheck(parts: Parts): Promise<Check> {
  try {
    await parts.store.secret();
    return { name: "store", ok: true, detail: null };
  } catch {
    return { name: "store", ok: false, detail: "does not answer" };
  }
}

async function workerCheck(parts: Parts): Promise<Check> {
  try {
    const running = (await parts.occupancy.workers()).filter((worker) => worker.state === "running");
    return { name: "workers", ok: running.length > 0, detail: `${running.length} running` };
  } catch {
    return { name: "workers", ok: false, detail: "not known" };
  }
}
