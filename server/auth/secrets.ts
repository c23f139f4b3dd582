import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { sha256 } from "../../core/ids.ts";
import type { ApiRole } from "../../core/records.ts";

/** Tokens, login codes and cookies. The store keeps hashes only. */

const TOKEN = /^pg_[a-z]+_[A-Za-z0-9_-]{22,86}$/;

export const hashSecret = (secret: string): string => sha256(secret);

export const newToken = (role: ApiRole): string => `pg_${role}_${randomBytes(24).toString("base64url")}`;

/** A token that the same key gives again: the answer to a repeated request needs no kept secret. */
export const tokenFromKey = (role: ApiRole, secret: string, key: string): string =>
  `pg_${role}_${createHmac("sha256", secret).update(key).digest("base64url").slice(0, 32)}`;

export const looksLikeToken = (text: string): boolean => TOKEN.test(text);

export const newTokenId = (): string => `tok_${randomBytes(9).toString("base64url")}`;

export const newLoginCode = (): string => randomBytes(18).toString("base64url");

/** Takes the same time wherever the first difference is. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** `<token id>.<expiry>.<mac>`: who logged in, signed with the installation's secret. */
export function sealCookie(secret: string, tokenId: string, expiresAt: number): string {
  const body = `${tokenId}.${expiresAt}`;
  return `${body}.${macOf(secret, body)}`;
}

/** The token's id, or null when the cookie is forged or has run out. */
export function openCookie(secret: string, cookie: string, now: number): string | null {
  const [tokenId, expiry, mac, ...rest] = cookie.split(".");
  if (tokenId === undefined || expiry === undefined || mac === undefined || rest.length > 0) return null;
  if (!sameText(mac, macOf(secret, `${tokenId}.${expiry}`))) return null;
  return Number(expiry) > now ? tokenId : null;
}

const macOf = (secret: string, body: string): string =>
  createHmac("sha256", secret).update(`cookie:${body}`).digest("base64url");
