import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { pack } from "tar-stream";
import { expect, test } from "vitest";
import { CircuitBreaker } from "../circuit-breaker.ts";
import { Engine } from "../engine.ts";
import { workdirImage } from "./workdir-image.ts";

/**
 * What a disk that is full, a build that is cancelled and an engine that cannot remove a container do, on an engine that
 * only answers. Like a real one it removes a container once nobody reads out of it any more.
 */

const BASE = `sha256:${"a".repeat(64)}`;
const MADE = `sha256:${"b".repeat(64)}`;
/** Well below the bound of a call. */
const SOON_MS = 10_000;

interface Behaviour {
  /** Of the answer to what is written into a container; null: none comes. */
  readonly put: number | null;
  readonly remove: number;
  /** Whether the end of /app is never sent. */
  readonly isEndless: boolean;
}

class CountingBreaker extends CircuitBreaker {
  fails = 0;

  override fail(): void {
    this.fails += 1;
    super.fail();
  }
}

interface FakeEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly breaker: CountingBreaker;
  readonly removed: string[];
  /** Resolves when the first byte was written into a container. */
  readonly copying: Promise<void>;
}

async function fakeEngine({ put, remove, isEndless }: Behaviour): Promise<FakeEngine> {
  const removed: string[] = [];
  const reading: Promise<unknown>[] = [];
  const copying = Promise.withResolvers<void>();
  let containers = 0;
  const folderOf = (response: ServerResponse, path: string | null): void => {
    const archive = pack();
    archive.entry({ name: "app/", type: "directory" });
    if (path === "/app") archive.entry({ name: "app/first" }, "first");
    if (path === "/app" && isEndless) archive.entry({ name: "app/last", size: 2 ** 30 }).write(Buffer.alloc(2 ** 20));
    else archive.finalize();
    reading.push(finished(response).catch(() => undefined));
    archive.on("data", (chunk) => response.write(chunk as Buffer));
    archive.on("end", () => response.end());
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "", "http://engine");
    const path = url.searchParams.get("path");
    const say = (status: number, body: unknown): void => void response.writeHead(status).end(JSON.stringify(body));
    const route = `${request.method} ${url.pathname.split("/").at(-1)}`;
    if (route === "GET json" && url.pathname === "/containers/json") say(200, []);
    else if (route === "GET json" && url.pathname.includes(BASE))
      say(200, { Id: BASE, Config: { WorkingDir: "/app" } });
    else if (route === "GET json" && removed.includes("commit")) say(200, { Id: MADE, Config: {} });
    else if (route === "GET json") say(404, { message: "No such image" });
    else if (route === "POST create") say(201, { Id: `c${++containers}` });
    else if (route === "POST commit") {
      removed.push("commit");
      say(201, { Id: MADE });
    } else if (route === "HEAD archive") {
      const stat = Buffer.from(JSON.stringify({ mode: 0x8000_01ed, linkTarget: "" })).toString("base64");
      response.writeHead(200, { "x-docker-container-path-stat": stat }).end();
    } else if (route === "GET archive") folderOf(response, path);
    else if (route === "PUT archive") {
      request.on("data", () => copying.resolve());
      if (put === 200) request.once("end", () => say(200, {}));
      else if (put !== null)
        request.once("data", () => say(put, { message: "write /app/first: no space left on device" }));
    } else if (request.method === "DELETE") {
      await Promise.all(reading);
      removed.push(url.pathname.split("/").at(-1) ?? "");
      say(remove, remove === 204 ? null : { message: "device or resource busy" });
    }
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const folder = await mkdtemp(join(tmpdir(), "polygym-fake-"));
  const socket = join(folder, "engine.sock");
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const breaker = new CountingBreaker();
  return {
    ...{ engine: new Engine(`unix://${socket}`, { breaker }), breaker, removed, copying: copying.promise },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    },
  };
}

const request = { reference: BASE, name: "mine", workdir: null, keepAs: "polygym/mine" };

test(
  "a copy that fails midway says the engine's reason at once and leaves no container",
  async () => {
    await using fake = await fakeEngine({ put: 500, remove: 204, isEndless: true });
    const failure = await workdirImage(fake.engine, request).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "sandbox_unavailable", message: expect.stringContaining("no space left") });
    expect(fake.removed.toSorted()).toEqual(["c1", "c2"]);
    expect(fake.breaker.fails).toBe(0);
  },
  SOON_MS,
);

test(
  "a container that cannot be removed takes nothing from a finished image",
  async () => {
    await using fake = await fakeEngine({ put: 200, remove: 500, isEndless: false });
    expect(await workdirImage(fake.engine, request)).toEqual({ id: MADE, workdir: "/app" });
    expect(fake.removed).toEqual(["commit", "c2", "c1"]);
  },
  SOON_MS,
);

test(
  "who cancels ends the copy at once, which counts nothing against the engine",
  async () => {
    await using fake = await fakeEngine({ put: null, remove: 204, isEndless: true });
    const stop = new AbortController();
    const making = workdirImage(fake.engine, { ...request, signal: stop.signal }).catch((error: unknown) => error);
    await fake.copying;
    stop.abort(new Error("cancelled"));
    expect(await making).toMatchObject({ message: "cancelled" });
    expect([fake.removed.toSorted(), fake.breaker.fails]).toEqual([["c1", "c2"], 0]);
  },
  SOON_MS,
);
