import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { freePort } from "../../cli/free-port.ts";
import { openContainers } from "../../docker/container/open.ts";
import type { ContainerProvider } from "../../docker/container/provider.ts";
import { buildLight } from "../../docker/light/build.ts";
import { silentLog } from "../../docker/log.ts";
import { decode } from "../contract/sandbox-tools.ts";
import { withEngine } from "./with-engine.ts";

const home = join(import.meta.dirname, "../../.polygym/test");
const folder = await mkdtemp(join(tmpdir(), "polygym-tls-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const openssl = (...args: string[]) => promisify(execFile)("openssl", args, { cwd: folder });

/** An issuer, and what it signs for an engine and for us: folders `engine` and `ours` below its own. */
async function issuer(name: string): Promise<string> {
  const place = join(folder, name);
  await mkdir(join(place, "ours"), { recursive: true });
  await mkdir(join(place, "engine"));
  const key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
  const ca = join(place, "ours/ca.pem");
  await openssl("req", "-x509", ...key, "-subj", `/CN=${name}`, "-keyout", join(place, "ca-key.pem"), "-out", ca);
  for (const [owner, usage] of [
    ["engine", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"],
    ["ours", "extendedKeyUsage=clientAuth"],
  ] as const) {
    const path = (file: string): string => join(place, owner, file);
    await writeFile(path("ext"), usage);
    await openssl("req", ...key.slice(0, 3), "-subj", `/CN=${owner}`, "-keyout", path("key.pem"), "-out", path("csr"));
    const signer = ["-CA", ca, "-CAkey", join(place, "ca-key.pem"), "-CAcreateserial", "-days", "2"];
    await openssl("x509", "-req", "-in", path("csr"), ...signer, "-extfile", path("ext"), "-out", path("cert.pem"));
  }
  return place;
}

const right = await issuer("right");
const wrong = await issuer("wrong");
const port = await freePort("127.0.0.1", 0, { orAny: true });
const host = `tcp://127.0.0.1:${port}`;
const flags = [
  ...["--host", host, "--tlsverify", "--tlscacert", join(right, "ours/ca.pem")],
  ...["--tlscert", join(right, "engine/cert.pem"), "--tlskey", join(right, "engine/key.pem")],
];

const open = async (certificates: string): Promise<ContainerProvider> =>
  await openContainers({ home, binary: await buildLight(home), log: silentLog, engine: host, certificates, warm: 0 });

await withEngine(
  "an engine over TLS",
  () => {
    test("makes sandboxes when each side has proved who it is, and nothing is said against it", async () => {
      await using provider = await open(join(right, "ours"));
      await using sandbox = await provider.open({ image: "host", owner: "test" });
      expect(decode((await sandbox.exec({ argv: ["echo", "hi"], timeoutMs: 5_000 })).stdout)).toBe("hi\n");
      const { mode, missing } = await provider.selfCheck();
      expect(mode).toBe("root");
      expect(missing.map(({ what }) => what).join()).not.toContain("port");
    });

    test("is not believed when somebody else has signed for it", async () => {
      await mkdir(join(folder, "mixed"));
      for (const [from, file] of [
        [wrong, "ca.pem"],
        [right, "cert.pem"],
        [right, "key.pem"],
      ] as const)
        await copyFile(join(from, "ours", file), join(folder, "mixed", file));
      await using provider = await open(join(folder, "mixed"));
      await expect(provider.open({ image: "host", owner: "test" })).rejects.toThrow(
        /certificate.*check POLYGYM_DOCKER_CERTIFICATES/,
      );
    });

    test("does not believe us when somebody else has signed for us", async () => {
      await copyFile(join(right, "ours/ca.pem"), join(wrong, "ours/ca.pem"));
      await using provider = await open(join(wrong, "ours"));
      await expect(provider.open({ image: "host", owner: "test" })).rejects.toThrow(/sandbox_unavailable|failed to/);
      await expect(open(join(folder, "absent"))).rejects.toThrow(/cannot read .*ca\.pem/);
    });
  },
  flags,
);
