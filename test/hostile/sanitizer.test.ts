import { execFile } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sandbox, SandboxProvider } from "../../core/sandbox.ts";
import { openProvider } from "../../docker/catalog.ts";
import { decode } from "../contract/sandbox-tools.ts";
import { brokenTalk, TYPES } from "./frames.ts";

/**
 * The agent, compiled with sanitizers, reads the same broken frames. It runs inside a sandbox, as a program of it: whatever a
 * frame makes it do, it does there; and a sanitizer needs libraries that an exporter's own root does not have.
 */
const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const home = join(root, ".polygym/test");
const ROUNDS = 40;
const SEED = 20_261;
const FLAGS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer";
/** What a sanitizer ends the program with. */
const FAULT = 99;

/** A compiler with sanitizers takes its time on a loaded machine. */
const BUILD_MS = 240_000;

/** Serves each talk to a fresh agent as uid 1000, so that an agent which kills everybody kills no one else. */
const SERVE = `
import base64, json, os, signal, socket, sys
os.chmod("/workspace", 0o777)
for name in ("/new", "/old", "/l0"): os.makedirs(name, exist_ok=True)
options = "exitcode=${FAULT}:log_path=/workspace/fault:detect_leaks=0:abort_on_error=0"
said = []
for i, talk in enumerate(json.load(open("talks"))):
  path = "/tmp/%s%d" % (sys.argv[1], i)
  listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen(); os.chmod(path, 0o777)
  child = os.fork()
  if child == 0:
    os.setgid(1000); os.setuid(1000)
    os.dup2(listener.fileno(), 3)
    os.execve("/workspace/agent", ["agent", sys.argv[1], "0"], {"ASAN_OPTIONS": options, "UBSAN_OPTIONS": options})
  talker = socket.socket(socket.AF_UNIX); talker.settimeout(20); talker.connect(path); listener.close()
  try:
    talker.recv(1); talker.sendall(base64.b64decode(talk)); talker.shutdown(socket.SHUT_WR)
    while talker.recv(65536): pass
  except OSError: pass
  talker.close()
  said.append(os.waitpid(child, 0)[1])
print(json.dumps(said))
os.system("cat /workspace/fault* 2>/dev/null | head -60 >&2")
`;

let provider: SandboxProvider;
let sandbox: Sandbox;
beforeAll(async () => {
  mkdirSync(home, { recursive: true });
  const env = { POLYGYM_HOME: home, POLYGYM_CFLAGS: FLAGS, PATH: "/usr/local/bin:/usr/bin:/bin" };
  const { stdout } = await run(join(root, "docker/light/build.sh"), [], { env });
  const binary = readFileSync(stdout.trim());
  expect(binary.includes("__asan_init") && binary.includes("__ubsan_handle")).toBe(true);
  provider = await openProvider({ tier: "light", home, warm: 0 });
  sandbox = await provider.open({ image: "host", owner: "sanitizer" });
  expect((await sandbox.write("agent", binary, { mode: 0o755 })).ok).toBe(true);
}, BUILD_MS);
afterAll(() => provider?.close());

for (const [what, mode] of [
  ["an agent", "u-"],
  ["an exporter", "x-"],
] as const) {
  test(`${what} built with sanitizers reads ${ROUNDS} broken talks without a fault`, async () => {
    // F ends every process of a sandbox, which here is the test itself.
    const talks = fc
      .sample(brokenTalk(TYPES.replace("F", "")), { numRuns: ROUNDS, seed: SEED })
      .map((talk) => talk.toString("base64"));
    await sandbox.write("talks", JSON.stringify(talks));
    const result = await sandbox.exec({ argv: ["python3", "-c", SERVE, mode], timeoutMs: 55_000 });
    const statuses: unknown = JSON.parse(decode(result.stdout) || JSON.stringify(decode(result.stderr)));
    if (!Array.isArray(statuses)) throw new Error(String(statuses));
    expect(decode(result.stderr)).toBe("");
    expect(statuses).toHaveLength(ROUNDS);
    // Ended by its own decision, 0 or 1; neither by a signal nor by a sanitizer.
    expect(statuses.filter((status) => status !== 0 && status !== 256)).toEqual([]);
  });
}
