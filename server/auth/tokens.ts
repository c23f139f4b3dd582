import { ProblemError } from "../../core/errors.ts";
import type { TokenRecord } from "../../core/records.ts";
import type { AdminStore } from "../../core/store.ts";
import type { Caller } from "./caller.ts";
import { hashSecret, looksLikeToken, openCookie, sameText, sealCookie } from "./secrets.ts";

/** How long a token's roles are believed: a revoked one works at most that long on other servers. */
const FRESH_MS = 1_000;
const MAX_REMEMBERED = 10_000;
export const COOKIE_NAME = "polygym_session";
export const COOKIE_S = 7 * 86_400;

/** A credential that can be asked again later whether it still holds. */
export interface Credential {
  /** The caller as of now; null when the token was revoked. */
  caller(): Promise<Caller | null>;
}

export const unauthorized = (detail: string): ProblemError =>
  new ProblemError(
    "unauthorized",
    detail,
    "send Authorization: Bearer <token>; `polygym token` shows it, and it is in $POLYGYM_HOME/token",
  );

/** Who a token or a cookie belongs to, as the store says, remembered for a second. */
export class Tokens {
  readonly #store: AdminStore;
  readonly #callers = new Map<string, { at: number; caller: Promise<Caller | null> }>();

  constructor(store: AdminStore) {
    this.#store = store;
  }

  byToken(token: string): Credential {
    if (!looksLikeToken(token)) return { caller: () => Promise.resolve(null) };
    const hash = hashSecret(token);
    return { caller: () => this.#remember(hash, () => this.#byHash(hash)) };
  }

  byCookie(cookie: string): Credential {
    return {
      caller: async () => {
        const tokenId = openCookie(await this.#store.secret(), cookie, Date.now());
        return tokenId === null ? null : this.#remember(tokenId, () => this.#byId(tokenId));
      },
    };
  }

  /** The value of a cookie for the owner of a one-time login; null when it was used or has run out. */
  async logIn(code: string, now = Date.now()): Promise<string | null> {
    const tokenId = await this.#store.takeLogin(hashSecret(code), now);
    return tokenId === null ? null : sealCookie(await this.#store.secret(), tokenId, now + COOKIE_S * 1000);
  }

  /** After a token was made or revoked here. */
  forget(): void {
    this.#callers.clear();
  }

  async #byHash(hash: string): Promise<Caller | null> {
    const record = await this.#store.tokenByHash(hash);
    return record !== null && sameText(record.hash, hash) ? callerOf(record) : null;
  }

  async #byId(id: string): Promise<Caller | null> {
    const record = (await this.#store.tokens()).find((token) => token.id === id);
    return record === undefined ? null : callerOf(record);
  }

  #remember(key: string, read: () => Promise<Caller | null>): Promise<Caller | null> {
    const known = this.#callers.get(key);
    const now = Date.now();
    if (known !== undefined && now - known.at < FRESH_MS) return known.caller;
    if (this.#callers.size >= MAX_REMEMBERED) this.#callers.clear();
    const caller = read();
    this.#callers.set(key, { at: now, caller });
    caller.catch(() => this.#callers.delete(key));
    return caller;
  }
}

const callerOf = (record: TokenRecord): Caller | null =>
  record.revoked_at === null ? { tokenId: record.id, roles: new Set(record.roles) } : null;
