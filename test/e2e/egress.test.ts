import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer } from "../../core/api.ts";
import { packTree } from "../../environments/tasks/folder-archive.ts";
import { readTree } from "../../environments/tasks/folder-tree.ts";
import { root } from "../command.ts";

/** A task that declares where it goes, through the whole service: only there, only where the operator lets it, and logged. */
const TASK = "mine/online";
const FRAMEWORK = "anthropic.bash-editor";
const DEADLINE_MS = 120_000;
/** The proxy opens the ports of the web only, and those take root; the address is one of this machine's own. */
const ADDRESS = "127.0.0.80";
const missing = process.geteuid?.() === 0 ? null : "a server at port 80 takes root";
if (missing !== null) console.warn(`egress is not tested through the service: ${missing}`);

async function importOnline(gym: Gym): Promise<void> {
  const tree = await readTree(join(root, "environments/tasks/demo/leap-year"));
  const named = [...tree].map(([path, file]) => {
    if (path !== "task.toml") return [path, file] as const;
    const text = Buffer.from(file.data).toString().replace("demo/leap-year", TASK);
    const table = `[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["${ADDRESS}"]\n`;
    return [path, { ...file, data: Buffer.from(`${text}\n${table}`) }] as const;
  });
  const started = await fetch(`${gym.url}/v1/imports?format=folder`, {
    method: "POST",
    headers: { authorization: `Bearer ${gym.token}`, "content-type": "application/octet-stream" },
    body: Buffer.from(await packTree(new Map(named))),
  });
  const { job_id } = (await started.json()) as { job_id: string };
  expect(await gym.client.request("GET", `/v1/imports/${job_id}?wait_s=60`)).toMatchObject({ report: { written: 1 } });
}

const create = (gym: Gym, task: string) =>
  gym.client.request("POST", "/v1/episodes", { task_id: task, framework: FRAMEWORK }) as Promise<EpisodeAnswer>;
async function said(gym: Gym, id: string, seq: number, command: string): Promise<string> {
  const body = { seq, action: bashStep(command) };
  const answer = await gym.client.episode("POST", `/v1/episodes/${id}/step`, body);
  return JSON.stringify(answer.observations);
}
const GET = (url: string) =>
  `python3 -c 'import urllib.request as u; print(u.urlopen("${url}", timeout=9).read().decode())' 2>&1 | tail -1`;

describe.skipIf(missing !== null)("egress", () => {
  const seen: (string | undefined)[] = [];
  const target = createServer((request, response) => {
    seen.push(request.url);
    response.end("from outside");
  });
  beforeAll(() => new Promise<void>((resolve) => void target.listen(80, ADDRESS, resolve)));
  afterAll(() => new Promise((resolve) => void target.close(resolve)));

  test("an episode reaches the hosts of its task, also after parking, and its log names every attempt", {
    timeout: DEADLINE_MS,
  }, async () => {
    await using gym = await startGym({ environment: { POLYGYM_EGRESS: "true" } });
    await importOnline(gym);
    const { episode_id: id } = await create(gym, TASK);
    expect(await said(gym, id, 1, GET(`http://${ADDRESS}/one`))).toContain("from outside");
    expect(await said(gym, id, 2, GET("http://127.0.0.1/"))).toContain("403");
    await gym.client.episode("POST", `/v1/episodes/${id}/snapshot`);
    expect(await said(gym, id, 3, GET(`http://${ADDRESS}/three`))).toContain("from outside");
    expect(seen).toEqual(["/one", "/three"]);
    const { items } = (await gym.client.request("GET", `/v1/episodes/${id}/trajectory`)) as {
      items: { type: string; host?: string; outcome?: string }[];
    };
    expect(
      items.filter(({ type }) => type === "network.tried").map(({ host, outcome }) => `${host} ${outcome}`),
    ).toEqual([`${ADDRESS} connected`, "127.0.0.1 denied", `${ADDRESS} connected`]);
    const other = await create(gym, "demo/leap-year");
    expect(await said(gym, other.episode_id, 1, `env | grep -ci _proxy; ${GET(`http://${ADDRESS}/`)}`)).not.toContain(
      "from outside",
    );
  });

  test("where the operator has it off such a task is unavailable and says why", { timeout: DEADLINE_MS }, async () => {
    await using gym = await startGym();
    await importOnline(gym);
    expect(await gym.client.request("GET", `/v1/tasks/${TASK}`)).toMatchObject({
      unavailable: "no worker here has egress",
    });
    await expect(create(gym, TASK)).rejects.toThrow(/egress/);
  });
});
