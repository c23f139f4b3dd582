import * as z from "zod";
import type { Client } from "./client.ts";

const Login = z.object({ url: z.string() });

/** A link that logs a browser in, once, and leads to `path`. */
export async function loginLink(client: Client, path: string): Promise<string> {
  const { url } = await client.post("/v1/logins", Login, { body: { next: path } });
  return new URL(url, client.url).href;
}
