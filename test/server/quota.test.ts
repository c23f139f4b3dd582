import { afterAll, beforeAll, expect, test } from "vitest";
import { call, cell, type Lab, openLab } from "./lab.ts";

const BOUND = 3;

let lab: Lab;
beforeAll(async () => {
  lab = await openLab({ POLYGYM_EPISODES_PER_TOKEN: String(BOUND) });
});
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

test("a token that has its bound of open episodes is told so, when to come again and what to do", async () => {
  const token = await lab.token("trainer");
  const create = (body: object = {}) =>
    call(lab, token, "POST", "/v1/episodes?wait_s=0", { body: { ...cell, ...body } });
  const named = { episode_id: "ep_quota-first" };
  const answers = [await create(named), ...(await Promise.all(Array.from({ length: 9 }, () => create())))];
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(BOUND);
  const refused = answers.find(({ status }) => status === 429);
  expect(refused?.body).toMatchObject({
    code: "quota",
    retryable: true,
    detail: `this token has ${BOUND} episodes that have not ended, of at most ${BOUND}`,
    hint: expect.stringContaining("episodes_per_token"),
  });
  expect(refused?.headers.get("retry-after")).toBe("30");
  expect((await create(named)).status).toBe(200);
  const { body } = await call(lab, token, "POST", "/v1/batch/episodes?wait_s=0", { body: { items: [cell] } });
  expect(body.items).toMatchObject([{ status: 429, body: { code: "quota" } }]);
  await call(lab, token, "DELETE", `/v1/episodes/${named.episode_id}`);
  expect((await create()).status).toBe(200);
  const other = await lab.token("trainer");
  expect((await call(lab, other, "POST", "/v1/episodes?wait_s=0", { body: cell })).status).toBe(200);
});
