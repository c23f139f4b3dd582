import type { IncomingMessage } from "node:http";
import type { FastifyError, FastifyInstance, FastifyReply } from "fastify";
import type { Logger } from "pino";
import { MAX_BODY_BYTES } from "../core/api.ts";
import { GymError, type Problem, ProblemError } from "../core/errors.ts";

const REFERENCE = "see /docs for the reference";

/** Whatever was thrown, as the problem with the request that it is. */
export function problemOf(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof GymError) {
    const hint =
      error.code === "store_failed"
        ? "the disk may be full: polygym doctor"
        : "send it again; polygym doctor shows what is wrong";
    return new ProblemError("unavailable", error.message, hint, { retryAfterS: 2, cause: error });
  }
  const known = isFastifyError(error) ? fastifyProblem(error) : null;
  return (
    known ??
    new ProblemError("internal", "the server failed to answer", "send it again; the server's log has the cause", {
      cause: error,
    })
  );
}

const isFastifyError = (error: unknown): error is FastifyError =>
  error instanceof Error && "code" in error && typeof error.code === "string";

function fastifyProblem(error: FastifyError): ProblemError | null {
  const problem = (hint: string): ProblemError =>
    new ProblemError("invalid_request", error.message, hint, { cause: error });
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new ProblemError(
        "payload_too_large",
        `a body has at most ${MAX_BODY_BYTES} bytes`,
        "send less; imports stream: POST /v1/imports",
      );
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
    case "FST_ERR_CTP_EMPTY_TYPE":
      return problem("send JSON with the header content-type: application/json");
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return problem("the body's length differs from content-length");
    case "FST_ERR_BAD_URL":
      return problem("the path is not valid percent-encoding");
    case "FST_ERR_HANDLER_TIMEOUT":
      return new ProblemError("unavailable", "the answer took too long", "send it again", {
        retryAfterS: 2,
        cause: error,
      });
    default:
      return error.statusCode !== undefined && error.statusCode < 500 ? problem(REFERENCE) : null;
  }
}

/** The document, after what is our fault was logged. */
export function problemDocument(log: Logger, error: unknown): Problem {
  const problem = problemOf(error);
  if (problem.status >= 500) log.error({ err: error }, "request failed");
  return problem.toProblem();
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.status === 401) reply.header("www-authenticate", "Bearer");
  if (problem.retry_after_s !== undefined) reply.header("retry-after", String(problem.retry_after_s));
  return reply.code(problem.status).type("application/problem+json; charset=utf-8").send(JSON.stringify(problem));
}

/** Rest of an oversize body that is read and thrown away, bytes and ms. */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;
const MAX_DISCARD_MS = 5_000;

/** A client that is still writing when its socket closes sees a broken pipe instead of the answer: let it finish first. */
async function discardBody(body: IncomingMessage): Promise<void> {
  let bytes = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, MAX_DISCARD_MS);
  body.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_DISCARDED_BYTES) resolve();
  });
  body.once("end", resolve).once("error", resolve).once("close", resolve);
  if (body.complete) resolve();
  body.resume();
  await promise;
  clearTimeout(timer);
}

/** Makes every error of every route, and every path that is none, a problem document with a hint. */
export function registerProblems(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler(async (error, request, reply) => {
    const problem = problemDocument(log, error);
    if (problem.code === "payload_too_large") await discardBody(request.raw);
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?")[0] ?? "";
    const problem = new ProblemError(
      "not_found",
      `there is no ${request.method} ${path}`,
      "GET /openapi.json lists the routes; /docs shows them",
    );
    return sendProblem(reply, problem.toProblem());
  });
}
