import * as z from "zod";
import type { Client } from "./client.ts";

const Login = z.object({ path: z.string() });

/** A link that logs a browser in, once, and leads to `path`. */
export async function loginLink(client: Client, path: string): Promise<string> {
  const login = await client.post("/v1/logins", Login, { body: { path } });
  return new URL(login.path, client.url).href;
}
