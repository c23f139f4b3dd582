import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as z from "zod";
import { type ProblemCode, ProblemError } from "../core/errors.ts";
import { Client } from "./client.ts";
import { CommandError, EXIT, type ExitCode } from "./exit-codes.ts";
import { freePort } from "./free-port.ts";

const Answer = z.object({ value: z.int() });

let server: Server;
let url = "";
let reply: { status: number; body: string } = { status: 200, body: "" };
let seen: { method: string; path: string; headers: NodeJS.Dict<string | string[]>; body: string } | null = null;

beforeEach(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      seen = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
      response.writeHead(reply.status).end(reply.body);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const failureOf = async (call: Promise<unknown>): Promise<CommandError> => {
  const error: unknown = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CommandError)) throw new Error(`expected a CommandError, got ${String(error)}`);
  return error;
};

test("sends token, query and JSON body, and parses the answer behind leading blanks", async () => {
  reply = { status: 200, body: '   {"value": 3, "more": true}' };
  const client = new Client({ url: `${url}/`, token: "pg_x" });
  expect(await client.post("/v1/things", Answer, { query: { a: "b c", none: undefined }, body: { n: 1 } })).toEqual({
    value: 3,
  });
  expect(seen).toMatchObject({ method: "POST", path: "/v1/things?a=b+c", body: '{"n":1}' });
  expect(seen?.headers).toMatchObject({ authorization: "Bearer pg_x", "content-type": "application/json" });
});

const exits: readonly [ProblemCode, ExitCode][] = [
  ["unauthorized", EXIT.notAllowed],
  ["forbidden", EXIT.notAllowed],
  ["quota", EXIT.notAllowed],
  ["unknown_task", EXIT.nothingMatched],
  ["not_found", EXIT.nothingMatched],
  ["invalid_request", EXIT.usage],
  ["invalid_cell", EXIT.usage],
  ["capacity", EXIT.infra],
  ["unavailable", EXIT.infra],
  ["internal", EXIT.failed],
];

test.each(exits)("a problem %s ends the command with exit code %i and its hint", async (code, exitCode) => {
  const problem = new ProblemError(code, "what happened", "what to do").toProblem();
  reply = { status: problem.status, body: JSON.stringify(problem) };
  const error = await failureOf(new Client({ url, token: null }).get("/v1/things", Answer));
  expect(error.exitCode).toBe(exitCode);
  expect(error.message).toContain("what happened");
  expect(error.hint).toBe("what to do");
});

test("a problem in the body of a 200 is a problem: the wait had sent its status", async () => {
  const problem = new ProblemError("seq_mismatch", "gap", "send 2").toProblem();
  reply = { status: 200, body: `  ${JSON.stringify(problem)}` };
  expect((await failureOf(new Client({ url, token: null }).get("/v1/things", Answer))).hint).toBe("send 2");
});

test("an answer of another shape names the call", async () => {
  reply = { status: 200, body: '{"value": "three"}' };
  expect((await failureOf(new Client({ url, token: null }).get("/v1/things", Answer))).message).toContain(
    "GET /v1/things",
  );
});

test("no service at the address is exit code 3 with the innermost reason", async () => {
  const port = await freePort("127.0.0.1", 0, { orAny: true });
  const error = await failureOf(new Client({ url: `http://127.0.0.1:${port}`, token: null }).get("/v1/things", Answer));
  expect(error.exitCode).toBe(EXIT.unreachable);
  expect(error.message).toContain("ECONNREFUSED");
});
