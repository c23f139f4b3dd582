import Docker from "dockerode";
import * as z from "zod";
import { GymError } from "../core/errors.ts";
import { CircuitBreaker } from "./circuit-breaker.ts";

/** Bound of an engine call that has none of its own. Creating and starting take 0.2 s; a loaded engine takes seconds. */
const CALL_MS = 30_000;

const Answer = z.object({ statusCode: z.int(), reason: z.string().optional(), message: z.string().optional() });

/** Of dockerode's connection; a socket that it looks for by itself is a function. */
const Address = z.object({
  socketPath: z.unknown().optional(),
  host: z.string().optional(),
  port: z.union([z.int(), z.string()]).optional(),
});

/** The container engine, with bounded calls: every call ends in time, and one that is down is not asked again for a while. */
export class Engine {
  readonly #docker: Docker;
  readonly #breaker: CircuitBreaker;
  /** Where it listens, for messages. */
  readonly address: string;
  /** True when it sees this machine's files, so that folders can be mounted. */
  readonly local: boolean;

  constructor(host: string | null = null, breaker: CircuitBreaker = new CircuitBreaker()) {
    this.#docker = new Docker(host === null ? undefined : connectOptions(host));
    this.#breaker = breaker;
    const { socketPath, host: name, port } = Address.parse({ ...this.#docker.modem });
    this.local = !name;
    this.address = name ? `${name}:${port}` : typeof socketPath === "string" ? socketPath : "/var/run/docker.sock";
  }

  /**
   * Runs one call. What the engine answers with an error status keeps it (see {@link statusOf}); no answer, or none in
   * time, counts against the engine.
   */
  async call<T>(
    what: string,
    work: (docker: Docker, signal: AbortSignal) => Promise<T>,
    timeoutMs = CALL_MS,
  ): Promise<T> {
    if (!this.#breaker.enter())
      throw new GymError(
        "sandbox_unavailable",
        `the engine at ${this.address} did not answer lately; ${what} was not tried`,
        {
          retryable: true,
        },
      );
    const limit = AbortSignal.timeout(timeoutMs);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const onLate = (): void => reject(new Error(`no answer in ${timeoutMs} ms`));
    limit.addEventListener("abort", onLate, { once: true });
    try {
      const result = await Promise.race([work(this.#docker, limit), late]);
      this.#breaker.succeed();
      return result;
    } catch (error) {
      const answer = Answer.safeParse(error);
      if (answer.success) this.#breaker.succeed();
      else this.#breaker.fail();
      throw this.#failure(what, error, answer.success);
    } finally {
      limit.removeEventListener("abort", onLate);
    }
  }

  /** Resolves when a container has ended. Not bounded and not counted: `signal` ends the wait. */
  async waitForEnd(id: string, signal: AbortSignal): Promise<void> {
    await this.#docker.getContainer(id).wait({ abortSignal: signal });
  }

  #failure(what: string, cause: unknown, answered: boolean): GymError {
    const text = cause instanceof Error ? cause.message.trim() : String(cause);
    if (answered) return new GymError("sandbox_unavailable", `the engine refused to ${what}: ${text}`, { cause });
    const advice = "start it, or set POLYGYM_DOCKER_HOST";
    const message = `the engine at ${this.address} failed to ${what}: ${text}; ${advice}`;
    return new GymError("sandbox_unavailable", message, { cause, retryable: true });
  }
}

/** The HTTP status that the engine answered with; null when the failure is another. */
export function statusOf(error: unknown): number | null {
  const answer = Answer.safeParse(error instanceof Error ? error.cause : error);
  return answer.success ? answer.data.statusCode : null;
}

/** `unix:///path` or `tcp://host:port`; without one dockerode reads DOCKER_HOST and its relatives, as every client does. */
function connectOptions(host: string): Docker.DockerOptions {
  if (host.startsWith("/")) return { socketPath: host, host: "" };
  const url = URL.parse(host);
  if (!url) throw new RangeError(`the engine's address must be unix:///path or tcp://host:port, got ${host}`);
  if (url.protocol === "unix:") return { socketPath: url.pathname, host: "" };
  const secure = url.protocol === "https:" || url.port === "2376";
  return { host: url.hostname, port: Number(url.port || (secure ? 2376 : 2375)), protocol: secure ? "https" : "http" };
}
