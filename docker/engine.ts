import { readFileSync } from "node:fs";
import { join } from "node:path";
import Docker from "dockerode";
import * as z from "zod";
import { GymError } from "../core/errors.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";

/** Bound of an engine call that has none of its own. Creating and starting take 0.2 s; a loaded engine takes seconds. */
const CALL_MS = 30_000;

/** Of what an engine said: some repeat the whole request. */
const SAID_KEPT = 500;
const USUAL_SOCKET = "/var/run/docker.sock";

const Answer = z.object({ statusCode: z.int(), reason: z.string().optional(), message: z.string().optional() });

export interface EngineOptions {
  /**
   * Folder with ca.pem, cert.pem and key.pem: both sides prove over TLS who they are. Without it an engine at port 2376
   * has to have a certificate that the machine trusts. (Default: null)
   */
  readonly certificates?: string | null | undefined;
  readonly breaker?: CircuitBreaker;
  /** Bound of a call that has none of its own. (Default: 30,000) */
  readonly callMs?: number;
}

export interface CallBounds {
  /** (Default: that of the engine) */
  readonly timeoutMs?: number;
  /** Ends the call with its reason, which says nothing about the engine. */
  readonly signal?: AbortSignal | undefined;
}

/** The container engine, with bounded calls: every call ends in time, and one that is down is not asked again for a while. */
export class Engine {
  readonly #docker: Docker;
  readonly #breaker: CircuitBreaker;
  readonly #callMs: number;
  /** Where it listens, for messages. */
  readonly address: string;
  /** How it is reached; over "tcp" everybody who can reach it is root on its machine. */
  readonly transport: "socket" | "tcp" | "tls";

  /** `host`: `unix:///path` or `tcp://host:port`. (Default: /var/run/docker.sock) */
  constructor(host: string | null = null, options: EngineOptions = {}) {
    const { certificates = null, breaker = new CircuitBreaker(), callMs = CALL_MS } = options;
    const connection = connectOptions(host ?? USUAL_SOCKET, certificates);
    this.#docker = new Docker(connection);
    this.#breaker = breaker;
    this.#callMs = callMs;
    this.address = connection.socketPath ?? `${connection.host}:${connection.port}`;
    this.transport = connection.socketPath ? "socket" : connection.protocol === "https" ? "tls" : "tcp";
  }

  /**
   * Runs one call. What the engine answers with an error status keeps it (see {@link statusOf}); no answer, or none in
   * time, counts against the engine.
   */
  async call<T>(
    what: string,
    work: (docker: Docker, signal: AbortSignal) => Promise<T>,
    bounds: number | CallBounds = {},
  ): Promise<T> {
    const { timeoutMs = this.#callMs, signal } = typeof bounds === "number" ? { timeoutMs: bounds } : bounds;
    signal?.throwIfAborted();
    if (!this.#breaker.enter())
      throw new GymError(
        "sandbox_unavailable",
        `the engine at ${this.address} did not answer lately; ${what} was not tried`,
        {
          retryable: true,
        },
      );
    const limit = AbortSignal.timeout(timeoutMs);
    const end = signal ? AbortSignal.any([limit, signal]) : limit;
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const onEnd = (): void => reject(new Error(`no answer in ${timeoutMs} ms`));
    end.addEventListener("abort", onEnd, { once: true });
    try {
      const result = await Promise.race([work(this.#docker, end), ended]);
      this.#breaker.succeed();
      return result;
    } catch (error) {
      if (error instanceof GymError || signal?.aborted) {
        this.#breaker.succeed(); // it answered; what was made of the answer went wrong, or nobody waits for it any more
        throw signal?.aborted ? signal.reason : error;
      }
      const answer = Answer.safeParse(error);
      if (answer.success) this.#breaker.succeed();
      else this.#breaker.fail();
      throw this.#failure(what, error, answer.success);
    } finally {
      end.removeEventListener("abort", onEnd);
    }
  }

  /** Resolves when a container has ended. Not bounded and not counted: `signal` ends the wait. */
  async waitForEnd(id: string, signal: AbortSignal): Promise<void> {
    await this.#docker.getContainer(id).wait({ abortSignal: signal });
  }

  #failure(what: string, cause: unknown, answered: boolean): GymError {
    const text = (cause instanceof Error ? cause.message.trim() : String(cause)).slice(0, SAID_KEPT);
    if (answered) return new GymError("sandbox_unavailable", `the engine refused to ${what}: ${text}`, { cause });
    const advice = /certificate|SSL|TLS|issuer/i.test(text)
      ? "check POLYGYM_DOCKER_CERTIFICATES: ca.pem has to be of the engine's issuer, cert.pem and key.pem of ours"
      : "start it, or set POLYGYM_DOCKER_HOST";
    const message = `the engine at ${this.address} failed to ${what}: ${text}; ${advice}`;
    return new GymError("sandbox_unavailable", message, { cause, retryable: true });
  }
}

/** The HTTP status that the engine answered with; null when the failure is another. */
export function statusOf(error: unknown): number | null {
  const answer = Answer.safeParse(error instanceof Error ? error.cause : error);
  return answer.success ? answer.data.statusCode : null;
}

/** Everything is said: what is left out, dockerode takes from DOCKER_HOST and its relatives. */
function connectOptions(host: string, certificates: string | null): Docker.DockerOptions & { socketPath?: string } {
  const plain = { ca: undefined, cert: undefined, key: undefined, pathPrefix: "/" };
  if (host.startsWith("/")) return { ...plain, socketPath: host, host: "", protocol: "http" };
  const url = URL.parse(host);
  if (!url || !["unix:", "tcp:", "http:", "https:"].includes(url.protocol))
    throw new RangeError(`the engine's address must be unix:///path or tcp://host:port, got ${host}`);
  if (url.protocol === "unix:") return connectOptions(url.pathname, null);
  const secure = url.protocol === "https:" || url.port === "2376" || certificates !== null;
  const place = { host: url.hostname, port: Number(url.port || (secure ? 2376 : 2375)) };
  if (!secure) return { ...plain, ...place, protocol: "http" };
  const proofs = certificates === null ? {} : readCertificates(certificates);
  return { ...plain, ...place, ...proofs, protocol: "https" };
}

function readCertificates(folder: string): { ca: Buffer; cert: Buffer; key: Buffer } {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(folder, name));
    } catch (error) {
      const message = `cannot read ${join(folder, name)}: POLYGYM_DOCKER_CERTIFICATES has ca.pem, cert.pem and key.pem`;
      throw new GymError("sandbox_unavailable", message, { cause: error });
    }
  };
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
}
