import { readFileSync } from "node:fs";

const url = process.env.POLYGYM_URL ?? "http://127.0.0.1:7400";
const token = process.env.POLYGYM_TOKEN ?? readFileSync(".polygym/token", "utf8").trim();
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
const post = async (path, body) =>
  (await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) })).json();

const episode = await post("/v1/episodes", { task_id: "demo/leap-year", framework: "anthropic.bash-editor" });
const path = `/v1/episodes/${episode.episode_id}`;
console.log(episode.observations[0].messages.at(-1).content); // what your policy reads; the tools are beside it
const command = "echo 'def is_leap(year): return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)' > solution.py";
const call = { id: "c1", type: "function", function: { name: "bash", arguments: JSON.stringify({ command }) } };
await post(`${path}/step`, { seq: 1, action: { message: { role: "assistant", tool_calls: [call] } } });
console.log("reward", (await post(`${path}/finish`, { seq: 2 })).reward);
