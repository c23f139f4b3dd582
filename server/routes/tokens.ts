import * as z from "zod";
import { ProblemError } from "../../core/errors.ts";
import { callerOf } from "../auth/guard.ts";
import {
  issueLogin,
  issueToken,
  LoginBody,
  NewLogin,
  NewToken,
  TokenBody,
  TokenItem,
  tokenItem,
} from "../auth/issue.ts";
import type { Tokens } from "../auth/tokens.ts";
import { idempotencyKey } from "../idempotency.ts";
import type { Parts } from "../parts.ts";
import { type App, answers, listOf } from "./app.ts";

const tags = ["access"];

export function tokenRoutes(app: App, parts: Parts, tokens: Tokens): void {
  app.post(
    "/v1/tokens",
    { schema: { body: TokenBody, tags, summary: "Make a token", response: answers(NewToken) } },
    async (request) => {
      const made = await issueToken(parts.store, callerOf(request), request.body, idempotencyKey(request));
      tokens.forget();
      parts.log.info({ tokenId: made.id, roles: made.roles }, "token made");
      return made;
    },
  );
  app.get(
    "/v1/tokens",
    { schema: { tags, summary: "Tokens, without their secrets", response: answers(listOf(TokenItem)) } },
    async () => ({ items: (await parts.store.tokens()).map(tokenItem), next: null }),
  );
  app.delete(
    "/v1/tokens/:token_id",
    {
      schema: {
        params: z.object({ token_id: z.string().max(128) }),
        tags,
        summary: "Revoke a token",
        response: answers(z.object({ id: z.string(), revoked: z.literal(true) })),
      },
    },
    async (request) => {
      const id = request.params.token_id;
      if (!(await parts.store.revokeToken(id)))
        throw new ProblemError("not_found", `there is no token ${id}`, "GET /v1/tokens lists them");
      tokens.forget();
      parts.log.info({ tokenId: id }, "token revoked");
      return { id, revoked: true as const };
    },
  );
  app.post(
    "/v1/logins",
    { schema: { body: LoginBody, tags, summary: "A one-time link for a browser", response: answers(NewLogin) } },
    async (request) => issueLogin(parts.store, callerOf(request), request.body, `http://${request.host}`),
  );
}
