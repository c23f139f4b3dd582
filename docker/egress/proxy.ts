import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import { type Duplex, pipeline } from "node:stream";
import type { Sandbox } from "../../core/sandbox.ts";
import { type AllowList, isPublic } from "./allow-list.ts";

/**
 * The way out for a task that declares one: an HTTP proxy on the sandbox's own loopback, served by the worker.
 * Covers: only hosts of the task's list, only the ports of the web; a name is resolved here, once, and the connection goes
 * to that very address (a second answer of the name server changes nothing); addresses of this machine and of private
 * networks only where the list names them as addresses; every attempt is told; bytes and time are bounded. Does not cover:
 * what is said inside TLS, and what an allowed host passes on to others.
 */

/** Where the proxy listens inside. */
const PORT = 3128;
const WEB_PORTS: readonly number[] = [80, 443];
const CONNECT_MS = 10_000;
const IDLE_MS = 60_000;
/** Of all connections of one sandbox together, both directions: packages of a build, not a data set. */
const MOST_BYTES = 1024 * 1024 * 1024;

export interface EgressAttempt {
  readonly host: string;
  readonly port: number;
  /** Null when it did not come to one. */
  readonly address: string | null;
  readonly outcome: "connected" | "denied" | "failed";
  /** Why not; empty when connected. */
  readonly reason: string;
}

export interface EgressOptions {
  readonly allow: AllowList;
  /** Told once per attempt, before any byte flows. */
  readonly onAttempt: (attempt: EgressAttempt) => void;
  /** Addresses of a name. (Default: the machine's resolver) */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** (Default: 80 and 443) */
  readonly ports?: readonly number[];
}

/** For commands of a sandbox that has the proxy. */
export const EGRESS_ENV: Readonly<Record<string, string>> = Object.fromEntries(
  ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map((name) => [name, `http://127.0.0.1:${PORT}`]),
);

/** Opens the proxy in a sandbox. It ends with the sandbox. */
export async function openEgress(sandbox: Sandbox, options: EgressOptions): Promise<void> {
  const server = egressServer(options);
  // node:http serves any duplex stream that it is given as a connection.
  await sandbox.forward(PORT, (connection) => void server.emit("connection", connection));
}

function egressServer(options: EgressOptions): Server {
  const gate = new Gate(options);
  const server = createServer({ requestTimeout: IDLE_MS, headersTimeout: CONNECT_MS });
  server.on("connect", (message, socket, head) => {
    tunnel(gate, message, socket, head).catch(() => socket.destroy());
  });
  server.on("request", (message, response) => {
    relay(gate, message, response).catch(() => response.destroy());
  });
  server.on("clientError", (_error, socket) => void socket.destroy());
  return server;
}

type Admission =
  | { readonly allowed: true; readonly address: string }
  | { readonly allowed: false; readonly reason: string };

/** Who may go where, and how much. */
class Gate {
  readonly #options: EgressOptions;
  #bytes = 0;

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** Judges and tells; an allowed one has the address to connect to. */
  async admit(host: string, port: number): Promise<Admission> {
    const judged = await this.#judge(host, port);
    if (!judged.allowed) this.tell({ host, port, address: null, outcome: "denied", reason: judged.reason });
    return judged;
  }

  tell(attempt: EgressAttempt): void {
    this.#options.onAttempt({ ...attempt, host: attempt.host.slice(0, 255) });
  }

  /** False when the sandbox has used up its bytes. */
  count(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes <= MOST_BYTES;
  }

  async #judge(host: string, port: number): Promise<Admission> {
    const { allow, ports = WEB_PORTS, resolve = resolveName } = this.#options;
    if (!ports.includes(port)) return denied(`port ${port} is not open: ${ports.join(", ")} are`);
    if (!allow.allows(host)) return denied(`${host} is not among the hosts that this task may reach`);
    if (!this.count(0)) return denied(`the sandbox has used up its ${MOST_BYTES} bytes`);
    const plain = host.replace(/^\[(.*)\]$/, "$1");
    const addresses = isIP(plain) !== 0 ? [plain] : await resolve(plain).catch(() => []);
    const address = addresses.find((one) => isPublic(one) || allow.names(one));
    if (address !== undefined) return { allowed: true, address };
    return denied(addresses.length === 0 ? `${host} has no address` : `${host} stands for a private address`);
  }
}

const denied = (reason: string): Admission => ({ allowed: false, reason });

const resolveName = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/** CONNECT host:port: bytes both ways, unseen. */
async function tunnel(gate: Gate, message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const target = /^(.+):(\d{1,5})$/.exec(message.url ?? "");
  if (target === null) return refuse(socket, "400 Bad Request", "CONNECT wants host:port");
  const [, host = "", portText = ""] = target;
  const port = Number(portText);
  const admission = await gate.admit(host, port);
  if (!admission.allowed) return refuse(socket, "403 Forbidden", admission.reason);
  const outside = await connected(gate, host, port, admission.address);
  if (outside === null) return refuse(socket, "502 Bad Gateway", `${host}:${port} did not answer`);
  counted(gate, outside);
  socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  if (head.length > 0) outside.write(head);
  pipeline(socket, outside, () => outside.destroy());
  pipeline(outside, socket, () => socket.destroy());
}

/** GET http://host/path: one request to the pinned address, without what speaks to the proxy alone. */
async function relay(gate: Gate, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.canParse(message.url ?? "") ? new URL(message.url ?? "") : null;
  if (url?.protocol !== "http:") return answer(response, 400, "this is a proxy: ask for http://host/path, or CONNECT");
  const port = url.port === "" ? 80 : Number(url.port);
  const admission = await gate.admit(url.hostname, port);
  if (!admission.allowed) return answer(response, 403, admission.reason);
  const outside = await connected(gate, url.hostname, port, admission.address);
  if (outside === null) return answer(response, 502, `${url.hostname}:${port} did not answer`);
  counted(gate, outside);
  const { "proxy-connection": _p, "proxy-authorization": _a, connection: _c, ...headers } = message.headers;
  const asked = request({
    createConnection: () => outside,
    method: message.method,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, host: url.host, connection: "close" },
  });
  asked.once("response", (got) => {
    const { connection: _connection, ...gotHeaders } = got.headers;
    response.writeHead(got.statusCode ?? 502, gotHeaders);
    pipeline(got, response, () => outside.destroy());
  });
  asked.once("error", () => (response.headersSent ? response.destroy() : answer(response, 502, "the host hung up")));
  pipeline(message, asked, () => undefined); // a broken one is told by `asked`
}

/** A connection to exactly this address, told; null when there is none in time. */
async function connected(gate: Gate, host: string, port: number, address: string): Promise<Socket | null> {
  const socket = connect({ host: address, port });
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const timer = setTimeout(() => resolve("no answer in time"), CONNECT_MS);
  socket.once("connect", () => resolve(null));
  socket.on("error", (error) => resolve(error.message));
  const problem = await promise;
  clearTimeout(timer);
  const outcome = problem === null ? "connected" : "failed";
  gate.tell({ host, port, address, outcome, reason: problem ?? "" });
  if (problem === null) return socket;
  socket.destroy();
  return null;
}

/** Ends a connection that is idle, or one too many bytes for its sandbox. */
function counted(gate: Gate, outside: Socket): void {
  let before = 0;
  const look = (): void => {
    const now = outside.bytesRead + outside.bytesWritten;
    if (!gate.count(now - before)) outside.destroy();
    before = now;
  };
  outside.setTimeout(IDLE_MS, () => void outside.destroy());
  outside.on("data", look);
  outside.once("close", look);
}

function refuse(socket: Duplex, status: string, why: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n${why}\n`);
}

function answer(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, { "content-type": "text/plain", connection: "close" }).end(`${why}\n`);
}
