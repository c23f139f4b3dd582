import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../cli/free-port.ts";
import type { BlobPlace } from "../platform/blob-place.ts";

/** An S3-compatible service that checks signatures; kept out of the packages, because only this test needs it. */
const PACKAGE = "s3rver@3.7.1";
const TOOLS = join(tmpdir(), "polygym-test-s3");
const PROGRAM = join(TOOLS, "node_modules/s3rver/bin/s3rver.js");
const INSTALL_MS = 120_000;
const START_MS = 30_000;
const BUCKET = "blobs";
/** The program's own. */
const KEY = "S3RVER";

/** Installs it where it is missing. Answers null, or why there is none. */
export function missingS3(): string | null {
  if (existsSync(PROGRAM)) return null;
  const argv = ["install", "--prefix", TOOLS, "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", PACKAGE];
  const installed = spawnSync("npm", argv, { timeout: INSTALL_MS, encoding: "utf8" });
  return existsSync(PROGRAM) ? null : `npm could not install ${PACKAGE}: ${installed.stderr ?? "no npm"}`;
}

export interface TestS3 extends AsyncDisposable {
  readonly place: Extract<BlobPlace, { kind: "bucket" }>;
  /** Names of what is in the bucket's prefix. */
  objects(): Promise<string[]>;
  /** Ends the service; `start` brings it back with what it had. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export async function openTestS3(): Promise<TestS3> {
  const dir = await mkdtemp(join(tmpdir(), "polygym-s3-"));
  const port = (await freePort("127.0.0.1", 0, { orAny: true })) ?? 0;
  const url = `http://127.0.0.1:${port}`;
  const argv = [PROGRAM, "-d", dir, "-a", "127.0.0.1", "-p", String(port), "--configure-bucket", BUCKET, "--silent"];
  let end: () => Promise<void> = async () => undefined;
  const start = async () => {
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "ignore", "inherit"] });
    const exited = once(child, "exit");
    end = async () => {
      child.kill("SIGKILL");
      await exited;
    };
    for (const deadline = Date.now() + START_MS; !(await fetch(url).then(Boolean, () => false)); await delay(50))
      if (Date.now() > deadline) throw new Error(`no S3 service at ${url} within ${START_MS} ms`);
  };
  await start();
  return {
    place: {
      kind: "bucket",
      endpoint: `${url}/${BUCKET}`,
      region: "us-east-1",
      prefix: "some/prefix/",
      accessKey: KEY,
      secretKey: KEY,
    },
    objects: async () =>
      (await readdir(join(dir, BUCKET, "some/prefix"))).flatMap(
        (name) => /^([0-9a-f]{64})\._S3rver_object$/.exec(name)?.[1] ?? [],
      ),
    stop: () => end(),
    start,
    [Symbol.asyncDispose]: async () => {
      await end();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
