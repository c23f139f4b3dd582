import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "pino";
import { ProblemError } from "../../core/errors.ts";
import { problemDocument, sendProblem } from "../problems.ts";
import type { Caller } from "./caller.ts";
import { type Access, accessFor } from "./routes.ts";
import { COOKIE_NAME, COOKIE_S, type Credential, type Tokens, unauthorized } from "./tokens.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Null on open routes, and on a socket that has not said yet who it is. */
    caller: Caller | null;
    credential: Credential | null;
  }
}

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);
const LOGIN_CODE = /^[A-Za-z0-9_-]{16,64}$/;

/** The caller of a route that is not open. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw unauthorized("this call needs a token");
  return request.caller;
}

/** One hook in front of every route, also of those that do not exist: who asks, and may they. Denies by default. */
export function registerGuard(app: FastifyInstance, tokens: Tokens, log: Logger): void {
  app.decorateRequest("caller", null);
  app.decorateRequest("credential", null);
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat())
      if (accessFor(one, url) === undefined)
        throw new Error(`nobody decided who may use ${one} ${url}: server/auth/routes.ts`);
  });
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-content-type-options", "nosniff").header("cache-control", "no-store");
    const { url } = request.routeOptions;
    const access = url === undefined ? undefined : accessFor(request.method, url);
    if (access === "open") return;
    try {
      if (await logIn(tokens, request, reply)) return reply;
      await identify(tokens, request, access);
      if (access !== undefined && access !== "socket") checkRoles(callerOf(request), access);
    } catch (error) {
      // Not thrown on: plug-ins bring error handlers of their own.
      return sendProblem(reply, problemDocument(log, error));
    }
  });
}

export function checkRoles(caller: Caller, access: Exclude<Access, string>): void {
  if (access.some((role) => caller.roles.has(role))) return;
  const has = [...caller.roles].join(", ");
  throw new ProblemError(
    "forbidden",
    `this call is for ${access.join(", ")}; the token is ${has}`,
    "an operator makes tokens: polygym token create --role <role>, or POST /v1/tokens",
  );
}

async function identify(tokens: Tokens, request: FastifyRequest, access: Access | undefined): Promise<void> {
  const header = request.headers.authorization;
  const cookie = request.cookies[COOKIE_NAME];
  if (header !== undefined) {
    const token = /^bearer +(\S+)$/i.exec(header.trim())?.[1];
    if (token === undefined) throw unauthorized("the authorization header must be: Bearer <token>");
    request.credential = tokens.byToken(token);
  } else if (cookie !== undefined) {
    if (access === "socket" || !SAFE_METHODS.has(request.method)) checkOrigin(request);
    request.credential = tokens.byCookie(cookie);
  } else if (access === "socket") return;
  else throw unauthorized("there is no token with this call");
  request.caller = await request.credential.caller();
  if (request.caller === null) throw unauthorized("the token is not known here, or was revoked");
}

/** A page of somebody else may not use a visitor's cookie. */
function checkOrigin(request: FastifyRequest): void {
  const { origin, host } = request.headers;
  if (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host) return;
  throw new ProblemError(
    "forbidden",
    `a page from ${origin ?? "nowhere"} may not act with this cookie`,
    "send the token as a header",
  );
}

/** `?login=` on any page: a one-time code becomes a cookie, and the page opens again without it. */
async function logIn(tokens: Tokens, request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
  if (request.method !== "GET" || !request.url.includes("login=")) return false;
  const url = new URL(request.url, "http://here");
  const code = url.searchParams.get("login");
  if (code === null || !LOGIN_CODE.test(code)) return false;
  const cookie = await tokens.logIn(code);
  // A link opened twice still works in the browser that it logged in.
  if (cookie === null && request.cookies[COOKIE_NAME] === undefined)
    throw unauthorized("this login link was used, or has run out");
  if (cookie !== null)
    reply.setCookie(COOKIE_NAME, cookie, { httpOnly: true, sameSite: "strict", path: "/", maxAge: COOKIE_S });
  url.searchParams.delete("login");
  const target = `${url.pathname}${url.search}`
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&quot;")
    .replaceAll("<", "&lt;");
  // Not a redirect: a strict cookie is not sent along with one that another page began.
  await reply
    .type("text/html; charset=utf-8")
    .header("content-security-policy", "default-src 'self'")
    .header("referrer-policy", "no-referrer")
    .send(`<!doctype html><meta http-equiv="refresh" content="0;url=${target}"><a href="${target}">continue</a>`);
  return true;
}
