import * as z from "zod";
import { ProblemError } from "../../core/errors.ts";
import { canonicalJson, sha256 } from "../../core/ids.ts";
import { ApiRole, type TokenRecord } from "../../core/records.ts";
import type { AdminStore } from "../../core/store.ts";
import type { Caller } from "./caller.ts";
import { hashSecret, newLoginCode, newToken, newTokenId, tokenFromKey } from "./secrets.ts";

export const TokenBody = z.strictObject({
  role: z.union([ApiRole, z.array(ApiRole).min(1).max(5)]).describe("one role, or several"),
  name: z.string().min(1).max(128).optional(),
});
export type TokenBody = z.infer<typeof TokenBody>;

export const TokenItem = z.object({
  id: z.string(),
  role: ApiRole,
  roles: z.array(ApiRole),
  name: z.string().nullable(),
  created_at: z.int(),
  revoked_at: z.int().nullable(),
});
export type TokenItem = z.infer<typeof TokenItem>;
export const NewToken = TokenItem.extend({ token: z.string().describe("shown once; only its hash is kept") });
export type NewToken = z.infer<typeof NewToken>;

export const LoginBody = z.strictObject({
  path: z
    .string()
    .max(1_024)
    .regex(/^\/(?![/\\])[^\s\\]*$/, "must be a path of this server")
    .default("/docs"),
  expires_s: z.number().int().min(1).max(86_400).default(3_600),
});
export type LoginBody = z.infer<typeof LoginBody>;
export const NewLogin = z.object({
  path: z.string().describe("opens the page once with a log-in"),
  url: z.string(),
  expires_at: z.int(),
});
export type NewLogin = z.infer<typeof NewLogin>;

export const tokenItem = ({ id, roles, name, created_at, revoked_at }: TokenRecord): TokenItem => ({
  id,
  role: roles[0] ?? "viewer",
  roles,
  name,
  created_at,
  revoked_at,
});

/** Makes a token. With a key, the same key and body give the same token again, and the secret is kept nowhere. */
export async function issueToken(
  store: AdminStore,
  caller: Caller,
  body: TokenBody,
  key: string | null,
): Promise<NewToken> {
  const roles = [...new Set([body.role].flat())];
  const first = roles[0] ?? "viewer";
  const token =
    key === null
      ? newToken(first)
      : tokenFromKey(first, await store.secret(), canonicalJson(["token", caller.tokenId, key]));
  const record: TokenRecord = {
    id: newTokenId(),
    hash: hashSecret(token),
    roles,
    name: body.name ?? null,
    created_at: Date.now(),
    revoked_at: null,
  };
  if (key === null) {
    await store.addToken(record);
    return { ...tokenItem(record), token };
  }
  const digest = sha256(canonicalJson(body));
  const known = await store.idempotency(caller.tokenId, "tokens", key, digest);
  if (known.status === "other_body")
    throw new ProblemError(
      "conflict",
      `idempotency-key ${key} was used with another body`,
      "use a new key for a new request",
    );
  if (known.status === "done") return { ...TokenItem.parse(JSON.parse(known.body)), token };
  if (known.status === "running")
    throw new ProblemError("conflict", `the request with key ${key} is still running`, "send it again later");
  await store.addToken(record);
  await store.finishIdempotency(caller.tokenId, "tokens", key, 200, JSON.stringify(tokenItem(record)));
  return { ...tokenItem(record), token };
}

/** A one-time link for a browser; whoever opens it acts as the caller. */
export async function issueLogin(
  store: AdminStore,
  caller: Caller,
  body: LoginBody,
  origin: string,
): Promise<NewLogin> {
  const code = newLoginCode();
  const expiresAt = Date.now() + body.expires_s * 1_000;
  await store.putLogin(hashSecret(code), caller.tokenId, expiresAt);
  const target = new URL(body.path, origin);
  target.searchParams.set("login", code);
  return { path: `${target.pathname}${target.search}`, url: target.href, expires_at: expiresAt };
}
