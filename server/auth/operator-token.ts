import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AdminStore } from "../../core/store.ts";
import { hashSecret, looksLikeToken, newToken, newTokenId } from "./secrets.ts";

/**
 * The first operator token: made at first start, kept in `<home>/token` (0600). A file that is there already is kept, and
 * made known to a store that has lost it; one that was revoked is replaced. Answers the file's path.
 */
export async function ensureOperatorToken(store: AdminStore, home: string, now = Date.now()): Promise<string> {
  const path = join(home, "token");
  const known = await readToken(path);
  if (known !== null && (await store.tokenByHash(hashSecret(known))) !== null) return path;
  const revoked = known !== null && (await store.tokens()).some((token) => token.hash === hashSecret(known));
  const token = known !== null && !revoked ? known : newToken("operator");
  if (token !== known) await writeToken(path, token);
  await store.addToken({
    id: newTokenId(),
    hash: hashSecret(token),
    roles: ["operator"],
    name: "first operator",
    created_at: now,
    revoked_at: null,
  });
  return path;
}

async function readToken(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    return looksLikeToken(text) ? text : null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

async function writeToken(path: string, token: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${token}\n`, { mode: 0o600 });
  await chmod(path, 0o600);
}
