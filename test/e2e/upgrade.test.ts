import { expect, test } from "vitest";
import { bashStep } from "../../bench/actions.ts";
import { type Gym, startGym } from "../../bench/gym.ts";
import type { EpisodeAnswer } from "../../core/api.ts";
import { newerBuild } from "../newer-build.ts";

/** A newer build takes over the home of an older one that was asked to stop. */
const LIVE = 50;
const DEADLINE_MS = 240_000;
/** Longest that a worker may take to park what it holds. */
const PARK_MS = 30_000;

const create = (gym: Gym, framework = "anthropic.bash-editor"): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", "/v1/episodes", { task_id: "demo/leap-year", framework });
const step = (gym: Gym, id: string, seq: number, command: string): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/step`, { seq, action: bashStep(command) });
const finish = (gym: Gym, id: string, seq: number): Promise<EpisodeAnswer> =>
  gym.client.episode("POST", `/v1/episodes/${id}/finish`, { seq, reason: "submitted" });
const said = (answer: EpisodeAnswer): unknown => answer.observations[0]?.messages[0]?.content;

test("SIGTERM parks 50 live episodes within 30 s, and a newer build goes on with every one", {
  timeout: DEADLINE_MS,
}, async () => {
  await using build = await newerBuild();
  await using old = await startGym({ workers: 2 });
  const ids = await Promise.all(Array.from({ length: LIVE }, async () => (await create(old)).episode_id));
  await Promise.all(ids.map((id, i) => step(old, id, 1, `export MINE=${i}; cd /tmp; echo ${i} > /workspace/mine`)));
  const versions = new Set((await old.workers()).map((worker) => worker.version));
  const asked = performance.now();
  await old.stop();
  expect(performance.now() - asked).toBeLessThan(PARK_MS);
  await using gym = await startGym({ workers: 2, home: old.home, root: build.root });
  const now = new Set((await gym.workers()).map((worker) => worker.version));
  expect([...now]).toEqual([build.version]);
  expect([...versions]).not.toEqual([...now]);
  const parked = (await gym.client.request("GET", "/v1/episodes?state=parked")) as { items: unknown[] };
  expect(parked.items).toHaveLength(LIVE);
  const answers = await Promise.all(ids.map((id) => step(gym, id, 2, "echo $MINE $PWD; cat /workspace/mine")));
  expect(answers.map(said)).toEqual(ids.map((_, i) => `${i} /tmp\n${i}`));
  const [first = ""] = ids;
  expect(await finish(gym, first, 3)).toMatchObject({ outcome: "ok", reward: 0, reward_status: "final" });
});

test("a framework or a verifier that changed is refused and flagged, never used in silence", {
  timeout: DEADLINE_MS,
}, async () => {
  const changed: readonly [string, string] = ['version: "1"', 'version: "2"'];
  await using build = await newerBuild({
    "environments/frameworks/mini-swe-toolcall/framework.ts": changed,
    "verifiers/differential/differential.ts": changed,
  });
  await using old = await startGym();
  const [framework, verifier] = await Promise.all([create(old, "mini-swe.toolcall"), create(old)]);
  await Promise.all([framework, verifier].map((episode) => step(old, episode.episode_id, 1, "echo x > x")));
  await old.stop();
  await using gym = await startGym({ home: old.home, root: build.root });
  expect(await step(gym, framework.episode_id, 2, "cat x")).toMatchObject({
    state: "done",
    outcome: "infra_error",
    reward: null,
    trainable: false,
    flags: ["framework_changed"],
  });
  const why = (await gym.client.request("GET", `/v1/episodes/${framework.episode_id}/why`)) as { what: string };
  expect(why.what).toContain("version_changed at boot, framework mini-swe.toolcall@1 is not here");
  expect(said(await step(gym, verifier.episode_id, 2, "cat x"))).toBe("x");
  const judged = await finish(gym, verifier.episode_id, 3);
  expect(judged).toMatchObject({
    state: "done",
    outcome: "verifier_error",
    reward: null,
    reward_status: "unavailable",
    trainable: false,
    flags: ["verifier_changed"],
  });
  const verdict = judged.verdicts.find((candidate) => candidate.verifier === "differential");
  expect(verdict).toMatchObject({ version: "1", status: "error", score: null });
  const again = { verifiers: ["differential"] };
  const rescored = await gym.client.request("POST", `/v1/episodes/${verifier.episode_id}/rescore`, again);
  expect(rescored).toMatchObject({ reward: 0, verdicts: [{ verifier: "differential", version: "2" }] });
});
