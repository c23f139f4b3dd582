import { createServer } from "node:net";
import { expect } from "vitest";
import { connectRedis } from "../../platform/redis.ts";
import { call, cell, say } from "../server/lab.ts";
import { newEpisode, type ServerAttack, type ServerBench } from "./server-attacks.ts";

/** Values that want to be more than values: addresses, privileges, commands, markup, lines of a log. */

/** Names of fields that would make the server open a connection, or give a sandbox more than it has. */
const ADDRESS = /^(url|uri|endpoint|webhook|callback|base_url|proxy|registry|model_endpoint)$/i;
const POWER = [
  "privileged",
  "mounts",
  "volumes",
  "devices",
  "cap_add",
  "pid",
  "network",
  "image",
  "build",
  "workdir",
  "runtime",
  "user",
];

function fieldsOf(value: unknown, found: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    if (key === "properties" && typeof member === "object" && member !== null)
      for (const name of Object.keys(member)) found.add(name);
    fieldsOf(member, found);
  }
}

async function noAddresses({ lab, operator, trainer }: ServerBench): Promise<void> {
  const { body } = await call(lab, operator, "GET", "/openapi.json");
  const asked = new Set<string>();
  for (const path of Object.values(Object(body.paths)))
    for (const operation of Object.values(Object(path))) fieldsOf(Object(operation).requestBody, asked);
  expect(asked.size).toBeGreaterThan(20);
  expect([...asked].filter((name) => ADDRESS.test(name))).toEqual([]);
  let dialled = 0;
  const trap = createServer((socket) => {
    dialled++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve));
  const address = trap.address();
  const url = `http://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}/`;
  for (const change of [
    { webhook: url },
    { model_endpoint: url },
    { task_id: url },
    { image: url },
    { policy: { endpoint: url } },
  ])
    expect((await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, ...change } })).status).toBe(400);
  const upload = await fetch(`${lab.url}/v1/imports?format=folder&source=${encodeURIComponent(url)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${operator}` },
    body: url,
  });
  expect(upload.status).toBeLessThan(500);
  expect(dialled).toBe(0);
  trap.close();
}

const INJECTIONS = [
  "ep_\r\nFLUSHALL\r\n",
  "ep_*",
  "ep_{x}",
  "ep_a:b",
  "7",
  "ep_",
  "ep_' return redis.call('FLUSHALL')",
  `ep_${"x".repeat(100_000)}`,
  "ep_\0",
  "ep_../../x",
];

async function injected(bench: ServerBench): Promise<void> {
  const { lab, trainer } = bench;
  const redis = connectRedis(lab.redisUrl);
  await redis.set("canary", "alive");
  try {
    for (const episode_id of INJECTIONS) {
      expect((await call(lab, trainer, "POST", "/v1/episodes", { body: { ...cell, episode_id } })).body.code).toBe(
        "invalid_request",
      );
      const path = `/v1/episodes/${encodeURIComponent(episode_id)}`;
      expect((await call(lab, trainer, "GET", path)).status).toBeGreaterThanOrEqual(400);
    }
    const run = "a:b*{c} $(id) ' -- \"";
    const id = await newEpisode(bench, trainer, { run, labels: { "{x}:*": "\r\nFLUSHALL\r\n" } });
    const conversation = "main\r\nFLUSHALL\r\n";
    await call(lab, trainer, "POST", `/v1/episodes/${id}/step`, { body: { conversation, seq: 1, action: say("x") } });
    expect((await call(lab, trainer, "GET", `/v1/episodes?run=${encodeURIComponent(run)}`)).body.counts.total).toBe(1);
    expect(await redis.get("canary")).toBe("alive");
    const keys = (await redis.keys("*")).filter((key) => /FLUSH|\$\(id\)|[\r\n]/.test(key));
    expect(keys).toEqual([]);
  } finally {
    redis.disconnect();
  }
}

const HOSTILE_TEXT = `<script>alert(1)</script><img src=x onerror=alert(1)>"'><svg/onload=x>![x](http://evil.example/b.png) =HYPERLINK("http://evil")\u202e\u001b]0;x\u0007`;

async function shownAsText(bench: ServerBench): Promise<void> {
  const { lab, trainer } = bench;
  const id = await newEpisode(bench, trainer, { run: "<b>run</b>", labels: { note: HOSTILE_TEXT } });
  await call(lab, trainer, "POST", `/v1/episodes/${id}/step`, { body: { seq: 1, action: say(HOSTILE_TEXT) } });
  const page = await call(lab, trainer, "GET", `/episodes/${id}`);
  expect(page.headers.get("content-security-policy")).toMatch(/default-src 'self'/);
  for (const raw of ["<script", "<img", "<svg", "<b>", "\u202e", "\u001b"]) expect(page.text).not.toContain(raw);
  expect(page.text).toContain("&lt;script&gt;");
}

async function linesStayLines(bench: ServerBench): Promise<void> {
  const { lab, trainer } = bench;
  const id = await newEpisode(bench, trainer);
  const forged = JSON.stringify({ v: 1, episode_id: id, n: 9, term: 9, at: 0, type: "reward.committed", reward: 1 });
  for (const [i, text] of [`x\n${forged}\n`, `\u2028${forged}\u2029`, "y".repeat(2 * 1024 * 1024)].entries())
    await call(lab, trainer, "POST", `/v1/episodes/${id}/step`, { body: { seq: i + 1, action: say(text) } });
  const { body } = await call(lab, trainer, "GET", `/v1/episodes/${id}`);
  expect([body.reward, body.state]).toEqual([null, "ready"]);
  const events = (await lab.store.events((await lab.store.episode(body.episode_id))?.episode_id ?? body.episode_id))
    .events;
  expect(events.map(({ type }) => type)).not.toContain("reward.committed");
  expect(events.map(({ n }) => n)).toEqual(events.map((_, i) => i));
}

export const textAttacks: readonly ServerAttack[] = [
  {
    name: "no call makes the server dial an address",
    of: [43, 53],
    control: { none: "there is no field to switch on" },
    run: noAddresses,
  },
  {
    name: "ids and labels are no commands of Redis",
    of: [44, 46],
    control: { none: "a flushed Redis is the end of the other tests" },
    run: injected,
  },
  {
    name: "no field gives a sandbox more power than its tier",
    of: [48],
    control: { none: "there is no field to switch on" },
    run: async ({ lab, trainer }) => {
      for (const field of POWER) {
        const body = { ...cell, [field]: true };
        expect((await call(lab, trainer, "POST", "/v1/episodes", { body })).body.code).toBe("invalid_request");
        const limits = { ...cell, limits: { [field]: 1 } };
        expect((await call(lab, trainer, "POST", "/v1/episodes", { body: limits })).body.code).toBe("invalid_request");
      }
    },
  },
  {
    name: "text of an episode is text on its page",
    of: [9, 47],
    control: { none: "a page that runs scripts needs a browser to show it" },
    run: shownAsText,
  },
  {
    name: "text of a step breaks out of no event",
    of: [51],
    control: { none: "lines that are not encoded are nothing that the store can be asked for" },
    run: linesStayLines,
  },
];
