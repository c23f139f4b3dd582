import { once } from "node:events";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { Transform } from "node:stream";
import type { Dice } from "./dice.ts";

/** What the network between the service and its Redis is like. */
export type Weather =
  | { readonly status: "clear" }
  /** Every piece comes so much later. */
  | { readonly status: "slow"; readonly delayMs: number }
  /** A share of the pieces comes as late as a retransmission, and some connections break. */
  | { readonly status: "lossy"; readonly share: number; readonly resendMs: number; readonly breaks: number }
  /** Connections stay open and carry nothing. */
  | { readonly status: "half_open" };

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Holds for open connections at once. */
  set(weather: Weather): void;
}

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  return address.port;
}

/** Listens on loopback and passes everything to `target`, as the weather allows. */
export async function startProxy(target: number, dice: Dice): Promise<TcpProxy> {
  let weather: Weather = { status: "clear" };
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = createConnection({ host: "127.0.0.1", port: target });
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => undefined); // its close ends the other side
      socket.once("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    const through = (): Transform => lane({ weather: () => weather, dice, give: () => client.destroy() });
    client.pipe(through()).pipe(upstream);
    upstream.pipe(through()).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: portOf(server),
    set: (next) => {
      weather = next;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

interface Lane {
  readonly weather: () => Weather;
  readonly dice: Dice;
  /** Breaks the connection. */
  readonly give: () => void;
}

/** One direction of a connection. Pieces keep their order, as TCP keeps it. */
function lane({ weather, dice, give }: Lane): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const now = weather();
      switch (now.status) {
        case "clear":
          return done(null, chunk);
        case "slow":
          return void setTimeout(done, now.delayMs, null, chunk);
        case "lossy":
          if (dice.chance(now.breaks)) return give();
          if (dice.chance(now.share)) return void setTimeout(done, now.resendMs, null, chunk);
          return done(null, chunk);
        case "half_open":
          return done();
      }
    },
  });
}
