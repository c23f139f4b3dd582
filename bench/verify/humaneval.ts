import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import * as z from "zod";
import { eventually, type Gym } from "../gym.ts";

/** A task and the files of its right solution. */
export interface Solved {
  readonly task: string;
  readonly files: Readonly<Record<string, string>>;
}

const Problem = z.object({ task_id: z.string(), prompt: z.string(), canonical_solution: z.string() });
const IMPORT_MS = 120_000;

/** Imports the published file into the gym, and tells every task's solution from the same file. */
export async function importHumanEval(gym: Gym, path: string): Promise<Solved[]> {
  const upload = await readFile(path);
  const response = await fetch(`${gym.url}/v1/imports?format=humaneval`, {
    method: "POST",
    headers: { authorization: `Bearer ${gym.token}`, "content-type": "application/octet-stream" },
    body: upload,
  });
  if (!response.ok) throw new Error(`POST /v1/imports: ${response.status} ${await response.text()}`);
  const solved = problemsOf(upload).map(({ task_id, prompt, canonical_solution }) => ({
    task: `humaneval/${task_id.replaceAll("/", "_")}`,
    files: { "solution.py": `${prompt}${canonical_solution}\n` },
  }));
  const imported = async (task: string) =>
    gym.client.request("GET", `/v1/tasks/${encodeURIComponent(task)}`).then(
      () => true,
      () => false,
    );
  const last = solved.at(-1)?.task ?? "";
  await eventually(() => imported(last), IMPORT_MS, last);
  return solved;
}

function problemsOf(upload: Buffer): z.infer<typeof Problem>[] {
  const text = (upload[0] === 0x1f ? gunzipSync(upload) : upload).toString("utf8");
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Error("the file has no problems");
  return lines.map((line) => Problem.parse(JSON.parse(line)));
}
