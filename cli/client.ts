import type * as z from "zod";
import { Problem } from "../core/errors.ts";
import { CommandError, EXIT, type ExitCode } from "./exit-codes.ts";

export interface ClientOptions {
  readonly url: string;
  readonly token: string | null;
}

export interface CallOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  /** Sent as it is instead of a JSON body. */
  readonly upload?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** The HTTP API as any other client sees it: each answer is parsed, each problem becomes a {@link CommandError}. */
export class Client {
  readonly url: string;
  readonly #token: string | null;

  constructor({ url, token }: ClientOptions) {
    this.url = url.replace(/\/+$/, "");
    this.#token = token;
  }

  get<T>(path: string, answer: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    return this.#call("GET", path, answer, options);
  }

  post<T>(path: string, answer: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    return this.#call("POST", path, answer, options);
  }

  delete<T>(path: string, answer: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    return this.#call("DELETE", path, answer, options);
  }

  async #call<T>(method: string, path: string, answer: z.ZodType<T>, options: CallOptions): Promise<T> {
    const response = await this.#fetch(method, path, options);
    const text = await response.text();
    const value = parseJson(text, `${method} ${path}`);
    // A wait that has begun has sent its status: a problem then comes as the body of a 200.
    const problem = Problem.safeParse(value);
    if (problem.success && problem.data.type.startsWith("/problems/")) throw problemError(problem.data);
    if (!response.ok)
      throw new CommandError(EXIT.failed, `${method} ${path} answered ${response.status}`, text.slice(0, 500));
    const parsed = answer.safeParse(value);
    if (!parsed.success)
      throw new CommandError(
        EXIT.failed,
        `${method} ${path}: ${parsed.error.message}`,
        "is the service of another version?",
      );
    return parsed.data;
  }

  async #fetch(
    method: string,
    path: string,
    { query = {}, body, upload, headers = {}, signal }: CallOptions,
  ): Promise<Response> {
    const url = new URL(this.url + path);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, String(value));
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const raw = upload === undefined ? {} : { "content-type": "application/octet-stream" };
    const authorization = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
    try {
      return await fetch(url, {
        method,
        headers: { ...json, ...raw, ...authorization, ...headers },
        body: upload === undefined ? (body === undefined ? null : JSON.stringify(body)) : Buffer.from(upload),
        signal: signal ?? null,
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new CommandError(
        EXIT.unreachable,
        `no answer from ${this.url}: ${reason(error)}`,
        "start one with `polygym up`",
        {
          cause: error,
        },
      );
    }
  }
}

function parseJson(text: string, call: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError(EXIT.failed, `${call} did not answer JSON`, text.slice(0, 200));
  }
}

function problemError(problem: Problem): CommandError {
  return new CommandError(exitOf(problem), `${problem.title}: ${problem.detail}`, problem.hint, {
    problem: problem.code,
  });
}

function exitOf({ status, code }: Problem): ExitCode {
  if (status === 401 || status === 403 || code === "quota") return EXIT.notAllowed;
  if (code.startsWith("unknown_") || code === "not_found") return EXIT.nothingMatched;
  if (status === 400 || status === 422) return EXIT.usage;
  if (status === 503 || code === "capacity") return EXIT.infra;
  return EXIT.failed;
}

/** The innermost reason of a failed fetch: its own message says only that it failed. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reason(error.cause) : error.message || error.name;
}
