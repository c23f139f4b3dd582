import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { expect } from "vitest";
import type { ForwardedConnection, Sandbox } from "../../core/sandbox.ts";
import { allowListOf } from "../../docker/egress/allow-list.ts";
import { EGRESS_ENV, type EgressAttempt, openEgress } from "../../docker/egress/proxy.ts";
import type { Behaviour } from "./sandbox.ts";
import { decode, until } from "./sandbox-tools.ts";

/** Ports of the sandbox's loopback that come out here, and the way out for tasks that declare one. */
const behaviours: Behaviour[] = [];
function behaviour(name: string, run: Behaviour["run"]): void {
  behaviours.push({ name, run });
}

const T = 30_000;
const PORT = 4000;
const python = async (sandbox: Sandbox, script: string, env?: Record<string, string>): Promise<string> => {
  const done = await sandbox.exec({ argv: ["python3", "-c", script], timeoutMs: T, ...(env ? { env } : {}) });
  return decode(done.stdout).trim() || decode(done.stderr).trim();
};
const CONNECT = `import socket
s = socket.create_connection(("127.0.0.1", ${PORT}))
`;

behaviour("forwards a port: bytes both ways, each end by itself", async ({ sandbox }) => {
  await sandbox.forward(PORT, (connection) => {
    buffer(connection).then(
      (all) => connection.end(`got ${all.length}`),
      () => undefined,
    );
  });
  const said = await python(
    sandbox,
    `${CONNECT}s.sendall(b"x\\0" * 700_000); s.shutdown(1); print(s.makefile().read())`,
  );
  expect(said).toBe("got 1400000");
  expect(await python(sandbox, `${CONNECT}s.shutdown(1); print(s.makefile().read())`)).toBe("got 0");
});

behaviour("a program that reads slowly is not sent more than it can hold", async ({ sandbox }) => {
  let connection: ForwardedConnection | null = null;
  await sandbox.forward(PORT, (made) => {
    connection = made;
    made.write(Buffer.alloc(8 * 1024 * 1024, "y"), () => made.end());
  });
  const script = `${CONNECT}import time
got = len(s.recv(1, socket.MSG_WAITALL)); time.sleep(0.5)
while True:
  data = s.recv(1 << 20)
  if not data: break
  got += len(data)
print(got)`;
  expect(await python(sandbox, script)).toBe(String(8 * 1024 * 1024));
  expect(connection).not.toBeNull();
});

behaviour("a stream that nobody reads holds up its own program, and no other command", async ({ sandbox }) => {
  await sandbox.forward(PORT, () => undefined);
  const flood = await sandbox.spawn({
    argv: ["python3", "-c", `${CONNECT}\nwhile True: s.sendall(b"z" * 65536)`],
    timeoutMs: T,
  });
  expect(await python(sandbox, "print(6 * 7)")).toBe("42");
  await flood.kill();
});

behaviour(
  "a connection that is destroyed here is over in the sandbox, and one that ends there is over here",
  async ({ sandbox }) => {
    const made: ForwardedConnection[] = [];
    await sandbox.forward(PORT, (connection) => {
      if (made.push(connection) === 1) connection.destroy();
    });
    const first = await python(
      sandbox,
      `${CONNECT}
try: print(s.recv(1))
except OSError as e: print(type(e).__name__)`,
    );
    expect(["b''", "ConnectionResetError"]).toContain(first);
    const closed = Promise.withResolvers<void>();
    const second = python(sandbox, `${CONNECT}s.close()`);
    await until("the second connection came", () => made.length === 2);
    made[1]?.on("end", () => closed.resolve());
    made[1]?.resume();
    await Promise.all([second, closed.promise]);
  },
);

behaviour("bounds forwarded ports and connections, with typed errors", async ({ sandbox }) => {
  await expect(sandbox.forward(80, () => undefined)).rejects.toThrow("1024..65535");
  for (let port = PORT; port < PORT + 4; port++) await sandbox.forward(port, () => undefined);
  await expect(sandbox.forward(PORT + 4, () => undefined)).rejects.toMatchObject({ code: "sandbox_unavailable" });
  const said = await python(
    sandbox,
    `import socket
held = [socket.create_connection(("127.0.0.1", ${PORT})) for _ in range(64)]
one = socket.create_connection(("127.0.0.1", ${PORT})); one.settimeout(10); print(one.recv(1))
held[0].close()`,
  );
  expect(said).toBe("b''");
});

behaviour("ends forwarded connections with the sandbox", async ({ provider }) => {
  const sandbox = await provider.open({ image: "host", owner: "forward" });
  const closed = Promise.withResolvers<void>();
  await sandbox.forward(PORT, (connection) => void connection.on("close", () => closed.resolve()).resume());
  const held = await sandbox.spawn({
    argv: ["python3", "-c", `${CONNECT}print("up", flush=True); s.recv(1)`],
    timeoutMs: T,
    onOutput: () => void sandbox.close(),
  });
  await closed.promise;
  await held.exit.catch(() => undefined);
});

behaviour(
  "egress reaches the hosts of the list at the address that was looked up, and tells every attempt",
  async ({ sandbox }) => {
    const hosts: (string | undefined)[] = [];
    const target = createServer((request, response) => {
      hosts.push(request.headers.host);
      response.end(`hello ${request.url} ${"proxy-connection" in request.headers ? "proxied" : "plain"}`);
    });
    await new Promise<void>((resolve) => void target.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = target.address() as AddressInfo; // it listens on a port
      const told: EgressAttempt[] = [];
      const asked: string[] = [];
      // A name server that answers with this machine from the second time on: rebinding.
      const resolve = async (host: string): Promise<string[]> => {
        asked.push(host);
        return host === "good.test" ? ["10.9.9.9", "127.0.0.1"] : ["169.254.169.254"];
      };
      await openEgress(sandbox, {
        allow: allowListOf(["good.test", "rebind.test", "127.0.0.1"]),
        resolve,
        ports: [port, 443],
        onAttempt: (attempt) => void told.push(attempt),
      });
      const get = (url: string) =>
        python(
          sandbox,
          `import urllib.request, urllib.error
try: print(urllib.request.urlopen("${url}", timeout=10).read().decode())
except urllib.error.HTTPError as e: print(e.code, e.read().decode())
except OSError as e: print(e)`,
          EGRESS_ENV,
        );
      expect(await get(`http://good.test:${port}/a?b=c`)).toBe("hello /a?b=c plain");
      expect(await get(`http://rebind.test:${port}/latest/meta-data`)).toContain("stands for a private address");
      expect(await get(`http://other.test:${port}/`)).toContain("not among the hosts");
      expect(await get(`http://127.0.0.1:${port + 1}/`)).toContain("is not open");
      expect(await get("https://other.test/")).toContain("403");
      expect(hosts).toEqual([`good.test:${port}`]);
      expect(asked).toEqual(["good.test", "rebind.test"]);
      expect(told.map(({ host, outcome, address }) => [host, outcome, address])).toEqual([
        ["good.test", "connected", "127.0.0.1"],
        ["rebind.test", "denied", null],
        ["other.test", "denied", null],
        ["127.0.0.1", "denied", null],
        ["other.test", "denied", null],
      ]);
    } finally {
      target.closeAllConnections();
      await new Promise((resolve) => target.close(resolve));
    }
  },
);

export const forwardBehaviours: readonly Behaviour[] = behaviours;
