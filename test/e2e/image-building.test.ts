import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import * as z from "zod";
import { bashStep } from "../../bench/actions.ts";
import { eventually, type Gym, startGym } from "../../bench/gym.ts";
import { ImageItem } from "../../core/images.ts";
import { BackgroundJob } from "../../core/records.ts";
import { Engine } from "../../docker/engine.ts";
import { packageBuildMisfit } from "../../docker/image-store/bootstrap.ts";
import { importSmall } from "../docker/small-image.ts";
import { withEngine } from "../docker/with-engine.ts";

/** A minute where nothing else runs: a root file system and the packages of image `base`. */
const BUILD_MS = 10 * 60_000;
const ImageList = z.object({ items: z.array(ImageItem) });
const homes: string[] = [];
afterAll(async () => {
  for (const home of homes) await rm(home, { recursive: true, force: true });
});

/** A home with task `mine/<name>`: demo/leap-year with another image. */
async function homeWith(name: string, change: { image?: string; dockerfile?: string }): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "gym-images-"));
  homes.push(home);
  const folder = join(home, "tasks/mine", name);
  await mkdir(join(home, "tasks/mine"), { recursive: true });
  await cp(join(import.meta.dirname, "../../environments/tasks/demo/leap-year"), folder, { recursive: true });
  const toml = (await readFile(join(folder, "task.toml"), "utf8"))
    .replace("demo/leap-year", `mine/${name}`)
    .replace('runtimes = ["python3"]', change.image === undefined ? "" : `image = "${change.image}"`);
  await writeFile(join(folder, "task.toml"), toml);
  if (change.dockerfile !== undefined) await writeFile(join(folder, "environment/Dockerfile"), change.dockerfile);
  return home;
}

const call = (gym: Gym, method: string, path: string, body?: unknown) => gym.client.request(method, path, body);

async function jobOf(gym: Gym, method: string, path: string, body: unknown): Promise<BackgroundJob> {
  const parse = (value: unknown) => BackgroundJob.partial().required({ job_id: true, state: true }).parse(value);
  let job = parse(await call(gym, method, path, body));
  await eventually(
    async () => {
      job = parse(await call(gym, "GET", `/v1/builds/${job.job_id}?wait_s=1`));
      return job.state === "done" || job.state === "failed";
    },
    BUILD_MS,
    "the end of the job",
  );
  return BackgroundJob.parse({ owner: "", created_at: 0, updated_at: 0, ...job });
}

const create = (gym: Gym, task: string) =>
  gym.client.episode("POST", "/v1/episodes?wait_s=0", { task_id: task, framework: "anthropic.bash-editor" });

const misfit = packageBuildMisfit();
const title = "an episode waits without a place while its image is built, and its trajectory names the image's digest";
if (misfit !== null) test.skip(`${title}: ${misfit}`, () => undefined);
else
  test(title, { timeout: 2 * BUILD_MS }, async () => {
    const home = await homeWith("based", { image: "base" });
    await using gym = await startGym({ workers: 2, home, environment: { POLYGYM_DOCKER_HOST: "unix:///run/no.sock" } });
    const { episode_id: id } = await create(gym, "mine/based");
    const path = `/v1/episodes/${id}`;
    const isBuilding = async () =>
      (await gym.client.episode("GET", `${path}?wait_s=0`)).pending_reason === "image_building";
    await eventually(isBuilding, 60_000, "image_building");
    await eventually(
      async () => JSON.stringify(await call(gym, "GET", `${path}/why`)).includes("image base is being built"),
      60_000,
      "the reason",
    );
    const log = async () => (await call(gym, "GET", "/v1/images/base/log")) as { state: string; lines: string[] };
    await eventually(
      async () => (await log()).lines.some((line) => line.includes("root file system")),
      60_000,
      "a log",
    );
    expect((await log()).state).toBe("running");
    expect((await gym.workers()).map(({ live }) => live)).toEqual([0, 0]);
    const isReady = async () => (await gym.client.episode("GET", `${path}?wait_s=5`)).state === "ready";
    await eventually(isReady, BUILD_MS, "the episode");
    const step = await gym.client.episode("POST", `${path}/step`, {
      seq: 1,
      action: bashStep("cat /etc/debian_version"),
    });
    expect(JSON.stringify(step.observations)).toContain("12.");

    const images = async () => ImageList.parse(await call(gym, "GET", "/v1/images")).items;
    const [base] = await images();
    const trajectory = JSON.stringify(await call(gym, "GET", `${path}/trajectory`));
    expect(trajectory).toContain(`"image":"base","image_digest":"${base?.digest}"`);
    expect((await jobOf(gym, "POST", "/v1/images", { name: "base" })).report).toMatchObject({ digest: base?.digest });
    expect(await images()).toMatchObject([{ name: "base", built_at: base?.built_at }]);
    expect((await jobOf(gym, "POST", "/v1/images/gc", { keep_bytes: 0 })).report).toMatchObject({ removed: [] });

    const started = (await call(gym, "POST", "/v1/images", { name: "c" })) as { job_id: string };
    const joined = (await call(gym, "POST", "/v1/images", { name: "c" })) as { job_id: string };
    expect(joined.job_id).toBe(started.job_id);
    expect(await call(gym, "DELETE", "/v1/images/c/build")).toEqual({ name: "c", cancelled: [started.job_id] });
    const ended = await jobOf(gym, "GET", `/v1/builds/${started.job_id}`, undefined);
    expect([ended.state, ended.error]).toEqual(["failed", "the build of image c was cancelled"]);
  });

test("a task with a Dockerfile is unavailable where no engine answers, and says so", { timeout: 120_000 }, async () => {
  const home = await homeWith("boxed", { dockerfile: "FROM scratch\n" });
  await using gym = await startGym({ home, environment: { POLYGYM_DOCKER_HOST: "unix:///run/no.sock" } });
  const task = (await call(gym, "GET", "/v1/tasks/mine/boxed")) as { unavailable: string; image: string; files: [] };
  expect(task).toMatchObject({ image: expect.stringMatching(/^task-[0-9a-f]{16}$/), files: [] });
  expect(task.unavailable).toContain("no worker here has a container engine");
  await expect(create(gym, "mine/boxed")).rejects.toThrow(/invalid_cell|container engine/);
});

/** A home with task `mine/app`, whose image has its program in /app; only a script that writes there solves it. */
async function homeWithApp(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "gym-images-"));
  homes.push(home);
  const texts = {
    "task.toml": `[task]
name = "mine/app"
[polygym]
kind = "program"
language = "shell"
[[verifiers]]
id = "stdio"
dir = "tests/cases"
config = { command = ["/bin/bash", "/app/answer.sh"] }
`,
    "instruction.md": "# Answer\n\nMake /app/answer.sh print 42.\n",
    "environment/Dockerfile": "FROM polygym/small\nWORKDIR /app\nRUN echo 'echo 41' > answer.sh\n",
    "tests/cases/cases/one.in": "",
    "tests/cases/cases/one.out": "42\n",
    "solution/solve.sh": "cd /app && echo 'echo 42' > /app/answer.sh\n",
    "cheats/own-folder/cheat.toml": 'description = "Puts a folder of its own in the place of the link"\n',
    "cheats/own-folder/solve.sh":
      "rm -f /app; mkdir /app; [ /app -ef /workspace ] || echo 'echo 42' > /app/answer.sh; true\n",
  };
  for (const [path, text] of Object.entries(texts)) {
    const file = join(home, "tasks/mine/app", path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return home;
}

await withEngine("a task's own image", (engine) => {
  for (const tier of ["light", "docker"])
    test(`a task that works in /app is proved, and its policies are told, on tier ${tier}`, {
      timeout: 180_000,
    }, async () => {
      await importSmall(new Engine(engine.address));
      const environment = { POLYGYM_DOCKER_HOST: engine.address, POLYGYM_SANDBOX: tier };
      await using gym = await startGym({ home: await homeWithApp(), environment });
      const body = { tasks: ["mine/app"] };
      const started = z.object({ job_id: z.string() }).parse(await call(gym, "POST", "/v1/validations", body));
      let job: unknown;
      const isOver = async () => {
        job = await call(gym, "GET", `/v1/validations/${started.job_id}?wait_s=5`);
        return /"state":"(done|failed)"/.test(JSON.stringify(job));
      };
      await eventually(isOver, 150_000, "the validation");
      expect(job).toMatchObject({ state: "done", done: 4, report: { tasks: 1, valid: 1, problems: [] } });
      const { episode_id: id } = await create(gym, "mine/app");
      const path = `/v1/episodes/${id}`;
      await eventually(
        async () => (await gym.client.episode("GET", `${path}?wait_s=5`)).state === "ready",
        60_000,
        "the episode",
      );
      const trajectory = JSON.stringify(await call(gym, "GET", `${path}/trajectory`));
      expect(trajectory).toContain("The files are in /workspace (/app is the same folder)");
      const { items } = ImageList.parse(await call(gym, "GET", "/v1/images"));
      expect(trajectory).toContain(`"image_digest":"${items[0]?.digest}"`);
    });

  test("a build that fails ends the episode typed, with the reason", { timeout: 180_000 }, async () => {
    const home = await homeWith("broken", { dockerfile: "FROM nowhere.invalid/none:1\n" });
    await using gym = await startGym({ home, environment: { POLYGYM_DOCKER_HOST: engine.address } });
    const { episode_id: id } = await create(gym, "mine/broken");
    const isDone = async () => (await gym.client.episode("GET", `/v1/episodes/${id}?wait_s=5`)).state === "done";
    await eventually(isDone, 120_000, "its end");
    expect(await gym.client.episode("GET", `/v1/episodes/${id}`)).toMatchObject({
      outcome: "infra_error",
      reward: null,
    });
    const why = JSON.stringify(await call(gym, "GET", `/v1/episodes/${id}/why`));
    expect(why).toMatch(/image_failed at boot.*cannot be pulled: load it into the engine first/);
  });
});
