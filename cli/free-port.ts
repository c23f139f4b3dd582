import { once } from "node:events";
import { createServer } from "node:net";

/** `wanted` if nobody listens there, else any free port; null when it must be the wanted one and is taken. */
export async function freePort(
  host: string,
  wanted: number,
  options: { readonly orAny: boolean },
): Promise<number | null> {
  const first = await bound(host, wanted);
  return first !== null || !options.orAny ? first : await bound(host, 0);
}

async function bound(host: string, port: number): Promise<number | null> {
  const server = createServer().listen(port, host);
  try {
    await once(server, "listening");
  } catch {
    return null;
  }
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : null;
}
