import { afterAll, beforeAll, expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer } from "../../core/api.ts";

/** What a policy does to its own sandbox is judged; it can never turn a failing attempt into a masked one. */
const DEADLINE_MS = 120_000;

let gym: Gym;
beforeAll(async () => {
  gym = await startGym();
}, DEADLINE_MS);
afterAll(async () => {
  await gym[Symbol.asyncDispose]();
}, DEADLINE_MS);

async function attempt(framework: string, commands: readonly string[]): Promise<EpisodeAnswer> {
  const { episode_id: id } = await gym.client.episode("POST", "/v1/episodes", {
    task_id: "demo/leap-year",
    framework,
    limits: { tool_s: 5 },
  });
  let answer: EpisodeAnswer | null = null;
  for (const [index, command] of commands.entries()) {
    answer = await gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq: index + 1, action: bashStep(command) });
    if (answer.state === "done") return answer;
  }
  return gym.client.episode("POST", `/v1/episodes/${id}/finish`, { seq: commands.length + 1, reason: "submitted" });
}

const BOMB = "bomb() { bomb | bomb & }; bomb; sleep 1; echo planted";

for (const framework of ["mini-swe.toolcall", "anthropic.bash-editor"])
  for (const [name, commands] of Object.entries({
    "a fork bomb that stays": [BOMB, "echo still here", "python3 -c pass"],
    "killing everything it can": ["kill -9 -1; kill -9 1; echo alive", "echo on"],
    "filling memory and disk": ["head -c 2G /dev/zero > big; head -c 2G /dev/zero | tail -c 1 | wc -c", "echo on"],
  }))
    test(`${framework}: ${name} is judged as reward 0`, { timeout: DEADLINE_MS }, async () => {
      const answer = await attempt(framework, commands);
      expect(answer).toMatchObject({ state: "done", reward: 0, reward_status: "final", trainable: true });
      expect(["ok", "agent_error"]).toContain(answer.outcome);
    });
