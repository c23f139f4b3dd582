import cookie from "@fastify/cookie";
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, type ZodTypeProvider } from "@fastify/type-provider-zod";
import websocket from "@fastify/websocket";
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from "fastify";
import * as z from "zod";
import { MAX_BODY_BYTES } from "../core/api.ts";
import { ProblemError } from "../core/errors.ts";
import { registerGuard } from "./auth/guard.ts";
import { Tokens } from "./auth/tokens.ts";
import { Cells } from "./cells.ts";
import { MailHub } from "./hub.ts";
import { describeIssues, parseJson } from "./json-body.ts";
import { countEpisode, refreshGauges } from "./measures.ts";
import { Occupancy } from "./occupancy.ts";
import type { Parts, ServerDeps } from "./parts.ts";
import { problemOf, registerProblems, sendProblem } from "./problems.ts";
import type { App } from "./routes/app.ts";
import { jobRoutes, uploadRoutes } from "./routes/authoring.ts";
import { batchRoutes, verifyRoute } from "./routes/batch.ts";
import { branchingRoutes } from "./routes/branching.ts";
import { discoveryRoutes, occupancyRoutes } from "./routes/discovery.ts";
import { actingRoutes, lookingRoutes } from "./routes/episodes.ts";
import { healthRoutes } from "./routes/health.ts";
import { imageRoutes } from "./routes/images.ts";
import { operatingRoutes } from "./routes/operating.ts";
import { pageRoutes } from "./routes/pages.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { whyRoutes } from "./routes/why.ts";
import { limitHandlers } from "./waiting.ts";
import { socketRoute } from "./ws/route.ts";

/** Slow clients hold a connection no longer than this without a byte. Waiting calls get one every 3 s. */
const IDLE_SOCKET_MS = 10_000;
const HEADERS_MS = 10_000;
/** How often slow requests are looked for; Node's own half a minute would triple the time that headers have. */
const LOOK_FOR_SLOW_MS = 5_000;
/** A whole request, uploads included. */
const REQUEST_MS = 120_000;
const MAX_HEADER_BYTES = 16 * 1024;
const CLOSE_SOCKETS_MS = 1_000;
const MAX_CONNECTIONS = 16_384;

/** The server without its process: routes, sockets and what they share. It is closed by `close()`; its parts are not. */
export async function buildApp(deps: ServerDeps): Promise<App> {
  const occupancy = new Occupancy(deps);
  const hub = new MailHub();
  const parts: Parts = { ...deps, hub, occupancy, cells: new Cells(deps.catalog, occupancy) };
  const tokens = new Tokens(deps.store);
  const app = newFastify(deps);
  limitHandlers(app);
  registerBodies(app);
  registerProblems(app, deps.log);
  refuseWhileStopping(app);
  await app.register(cookie);
  // Before the guard: it closes sockets whose upgrade the guard refuses.
  await app.register(websocket, {
    options: { maxPayload: MAX_BODY_BYTES, perMessageDeflate: false },
    errorHandler: () => undefined,
    preClose: closeSockets,
  });
  registerGuard(app, tokens, deps.log);
  await app.register(swagger, { openapi: describeApi(deps.config.version), transform: describeRoute });
  registerRoutes(app, parts, tokens);
  app.addHook("onResponse", async (request, reply) => {
    const labels = { route: request.routeOptions.url ?? "none", code: String(reply.statusCode) };
    parts.metrics.httpSeconds.observe(labels, reply.elapsedTime / 1_000);
  });
  hub.follow(null, (notice) => countEpisode(parts, notice));
  const mail = deps.readMail((letter) => {
    hub.onMail(letter);
    // It may be an import of new tasks.
    if (letter.type === "job")
      void deps.catalog.tasks.refresh().catch((err: unknown) => deps.log.warn({ err }, "tasks not read anew"));
  });
  app.addHook("onClose", () => mail.close());
  return app;
}

/** A request may still come over a connection that is open until the last socket has closed. */
function refuseWhileStopping(app: App): void {
  let stopping = false;
  app.addHook("preClose", async () => {
    stopping = true;
  });
  app.addHook("onRequest", async () => {
    if (stopping)
      throw new ProblemError("unavailable", "the server is stopping", "send the same call again", { retryAfterS: 1 });
  });
}

/** Clients attach again elsewhere; those that do not answer the close are cut off. */
function closeSockets(this: FastifyInstance, done: (error?: Error) => void): void {
  for (const client of this.websocketServer.clients) {
    client.close(1001, "the server stops");
    setTimeout(() => client.terminate(), CLOSE_SOCKETS_MS).unref();
  }
  this.websocketServer.close(done);
}

function newFastify(deps: ServerDeps): App {
  const loggerInstance: FastifyBaseLogger = deps.log;
  const app = Fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MAX_BODY_BYTES,
    connectionTimeout: IDLE_SOCKET_MS,
    requestTimeout: REQUEST_MS,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    return503OnClosing: false, // its answer is no problem+json: see refuseWhileStopping
    routerOptions: { maxParamLength: 300 },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: LOOK_FOR_SLOW_MS,
    },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOf(error).toProblem()),
    clientErrorHandler: answerBrokenRequest,
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = MAX_CONNECTIONS;
  return app;
}

/** What is not even HTTP, or is too slow or too large to be a request. */
function answerBrokenRequest(
  error: Error & { code?: string },
  socket: { writable: boolean; end(text: string): void; destroy(): void },
): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const detail =
    error.code === "HPE_HEADER_OVERFLOW"
      ? `headers have at most ${MAX_HEADER_BYTES} bytes`
      : "the request is not valid HTTP";
  const body = JSON.stringify(new ProblemError("invalid_request", detail, "send HTTP/1.1").toProblem());
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function registerBodies(app: App): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "string" },
    async (_request: unknown, text: string | Buffer) => (text.length === 0 ? undefined : parseJson(String(text))),
  );
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (value: unknown) => {
    // A misspelt parameter would answer something else than what was asked for.
    const strict = httpPart === "querystring" && schema instanceof z.ZodObject ? schema.strict() : schema;
    const parsed = strict.safeParse(value);
    if (parsed.success) return { value: parsed.data };
    const detail = describeIssues(parsed.error.issues, httpPart ?? "body");
    const missing = httpPart === "body" && value === undefined;
    return {
      error: new ProblemError(
        "invalid_request",
        missing ? "the call needs a JSON body" : detail,
        missing ? "send JSON with the header content-type: application/json" : "see /docs for the fields",
      ),
    };
  });
  // Types hold what is sent to its schema; tests hold the schemas to what is sent.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
}

function registerRoutes(app: App, parts: Parts, tokens: Tokens): void {
  healthRoutes(app, parts, parts.loopP99);
  discoveryRoutes(app, parts);
  occupancyRoutes(app, parts);
  actingRoutes(app, parts);
  branchingRoutes(app, parts);
  lookingRoutes(app, parts);
  whyRoutes(app, parts);
  operatingRoutes(app, parts);
  batchRoutes(app, parts);
  verifyRoute(app, parts);
  jobRoutes(app, parts);
  imageRoutes(app, parts);
  tokenRoutes(app, parts, tokens);
  app.register(async (scope) => uploadRoutes(scope.withTypeProvider<ZodTypeProvider>(), parts));
  app.register(async (scope) => pageRoutes(scope.withTypeProvider<ZodTypeProvider>(), parts));
  app.register(async (scope) => socketRoute(scope.withTypeProvider<ZodTypeProvider>(), parts, tokens));
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
  app.get("/metrics", { schema: { hide: true } }, async (_request, reply) => {
    await refreshGauges(parts);
    return reply.type(parts.metrics.registry.contentType).send(await parts.metrics.registry.metrics());
  });
}

const describeApi = (version: string) => ({
  openapi: "3.1.0",
  info: {
    title: "polygym",
    version,
    description:
      "One task, many gyms. Every problem with a request is application/problem+json with a code and a hint.",
  },
  components: { securitySchemes: { token: { type: "http" as const, scheme: "bearer" } } },
  security: [{ token: [] }],
});

/** `*` stands for the rest of the path, which is the id. */
const describeRoute: typeof jsonSchemaTransform = (route) => jsonSchemaTransform(route);
