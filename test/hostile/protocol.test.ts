import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hostImage } from "../../docker/image-host.ts";
import { buildLight } from "../../docker/light/build.ts";
import { Payload } from "../../docker/light/frames.ts";
import { HostProcess, type SandboxEnd } from "../../docker/light/host-process.ts";
import { brokenTalk } from "./frames.ts";

/** The agent reads frames of its worker; broken ones end it by its own decision, never by a fault of memory. */
const home = join(import.meta.dirname, "../../.polygym/test");
const ROUNDS = 60;
let host: HostProcess;
let next = 1;

beforeAll(async () => {
  mkdirSync(home, { recursive: true });
  host = await HostProcess.start(await buildLight(home), [await hostImage({ home })]);
});
afterAll(async () => {
  await host.close();
});

/** Sends bytes to the agent of a fresh sandbox and closes; answers how the sandbox ended. */
async function endAfter(bytes: Uint8Array, exporter: boolean): Promise<SandboxEnd> {
  const id = next++;
  const payload = new Payload()
    .u32(id)
    .u32(0)
    .u32(0)
    .u64(256 * 2 ** 20)
    .u64(64 * 2 ** 20)
    .u64(5_000)
    .u32(64)
    .u32(1_000);
  payload.u32(0);
  if (exporter) payload.u32(0);
  const ended = Promise.withResolvers<SandboxEnd>();
  await host.request(exporter ? "E" : "C", payload);
  host.onEnd(id, ended.resolve);
  const socket = connect(host.socketPath(id));
  socket.on("error", () => undefined);
  await once(socket, "data"); // the agent is alive
  socket.resume();
  socket.end(bytes);
  const end = await ended.promise;
  await host.request("D", new Payload().u32(id));
  return end;
}

for (const exporter of [false, true]) {
  test(`${exporter ? "an exporter" : "an agent"} survives or refuses every frame, without a fault`, async () => {
    await fc.assert(
      fc.asyncProperty(brokenTalk(), async (talk) => {
        const end = await endAfter(talk, exporter);
        expect(end.reason).toBe("");
        expect(end.status & 0x7f).toBe(0); // not by a signal: no fault, no abort
      }),
      { numRuns: ROUNDS },
    );
  });
}
