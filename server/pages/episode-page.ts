import type { EpisodeAnswer } from "../../core/api.ts";
import type { JsonObject } from "../../core/json.ts";
import { type Html, html } from "./html.ts";

/** Longest text of one message on the page; the trajectory has it whole. */
const MAX_SHOWN = 20_000;

const style = html`
  <style>
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430; background: #fff }
    h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }
    table { border-collapse: collapse } td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; vertical-align: top }
    th { font-weight: 600; color: #57606f }
    pre { background: #f3f5f8; padding: .7rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; max-height: 40rem }
    .good { color: #116329 } .bad { color: #a40e26 } .dim { color: #57606f }
    @media (prefers-color-scheme: dark) { body { color: #d7dce4; background: #12161c } pre { background: #1c222b } th, .dim { color: #98a2b3 } .good { color: #5fd083 } .bad { color: #ff8a98 } }
  </style>`;

/** One episode for a person: how it ended, its verdicts and what was said. Everything from the episode is escaped text. */
export function episodePage(answer: EpisodeAnswer, events: readonly JsonObject[] | null): string {
  const { environment } = answer;
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${answer.episode_id}</title>${style}</head>
<body>
<h1>${answer.episode_id}</h1>
<table>
${row("task", environment.task_id)}
${row("framework", environment.framework)}
${row("verifiers", environment.verifiers.join(", "))}
${row("split", environment.split)}
${row("run", answer.run ?? "–")}
${row("state", answer.pending_reason === null ? answer.state : `${answer.state} (${answer.pending_reason})`)}
${row("outcome", answer.outcome ?? "–")}
${row("stop reason", answer.stop_reason ?? "–")}
<tr><th>reward</th><td class="${answer.reward === null ? "dim" : answer.reward > 0 ? "good" : "bad"}">${answer.reward ?? answer.reward_status}</td></tr>
${row("flags", answer.flags.join(", ") || "–")}
</table>
<h2>Verdicts</h2>
${answer.verdicts.length === 0 ? html`<p class="dim">none yet</p>` : html`<table><tr><th>verifier</th><th>role</th><th>score</th><th>detail</th></tr>${answer.verdicts.map(verdictRow)}</table>`}
<h2>What happened</h2>
${events === null ? html`<p class="dim">The trajectory of a script is for authors and operators.</p>` : events.map(eventBlock)}
<p class="dim"><a href="/v1/episodes/${answer.episode_id}/trajectory">trajectory as JSON</a> · <a href="/docs">API reference</a></p>
</body>
</html>`.text;
}

const row = (name: string, value: string): Html => html`<tr><th>${name}</th><td>${value}</td></tr>`;

const verdictRow = (verdict: EpisodeAnswer["verdicts"][number]): Html =>
  html`<tr><td>${verdict.verifier}</td><td>${verdict.role}</td><td>${verdict.score ?? verdict.status}</td><td><pre>${clip(JSON.stringify(verdict.detail, null, 1))}</pre></td></tr>`;

function eventBlock(event: JsonObject): Html {
  const { n, type, at, v: _v, episode_id: _id, term: _term, ...body } = event;
  const when = typeof at === "number" ? new Date(at).toISOString() : "";
  const head = html`<p><strong>${typeof n === "number" ? n : ""} ${typeof type === "string" ? type : ""}</strong> <span class="dim">${when}</span></p>`;
  return html`${head}<pre>${clip(readable(JSON.stringify(body, null, 1)))}</pre>`;
}

/** Line breaks inside strings as line breaks. */
const readable = (json: string): string => json.replaceAll("\\n", "\n").replaceAll("\\t", "\t");

const clip = (text: string): string =>
  text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}\n… ${text.length - MAX_SHOWN} more characters`;
