import * as z from "zod";
import { ImageBuild, ImageItem, ImageLog } from "../../core/images.ts";
import { BackgroundJob, finishJob } from "../background-job.ts";
import type { Client } from "../client.ts";
import type { CommandContext } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type Registry, wholeNumber } from "../registry.ts";
import { openSession } from "../session.ts";
import { table } from "../terminal.ts";

/** How often a log that is followed is asked for more. */
const FOLLOW_MS = 500;
const MIB = 1024 * 1024;

interface BuildOptions {
  readonly image: string;
  readonly rebuild?: boolean;
  readonly host?: string;
}

interface LogOptions {
  readonly image: string;
  readonly follow?: boolean;
  readonly host?: string;
}

interface CollectOptions {
  readonly keepMib?: number;
  readonly host?: string;
}

export function addImage({ program, action }: Registry): void {
  const image = program.command("image").alias("images").summary("what sandboxes are made of: build, list, remove");
  image
    .command("list", { isDefault: true })
    .summary("what lies on the machines, and builds that wait, run or have failed")
    .action(action(listImages));
  image
    .command("build")
    .summary("build an image of ours, or the one that a task needs; its log goes to standard error")
    .argument("<image>", "base, python, node, c, go, rust, java or polyglot; or a task's id")
    .option("--rebuild", "also when its definition has not changed, for newer packages")
    .option("--host <name>", "on this machine")
    .addHelpText("after", "\nExample: polygym image build python")
    .action(action(buildImage));
  image
    .command("logs")
    .summary("log of the image's last build")
    .argument("<image>")
    .option("-f, --follow", "go on until the build is over")
    .option("--host <name>", "of this machine")
    .action(action(showLog));
  image.command("cancel").summary("stop the image's build").argument("<image>").action(action(cancelBuild));
  image
    .command("gc")
    .summary("remove images that nothing uses, the least recently used first, down to the low watermark")
    .option("--keep-mib <n>", "down to so much instead; 0 removes all", wholeNumber(0, 1_000_000_000))
    .option("--host <name>", "on this machine")
    .action(action(collect));
}

const ImageList = z.object({ items: z.array(ImageItem), builds: z.array(ImageBuild) });

async function listImages(context: CommandContext): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const { items, builds } = await session.client.get("/v1/images", ImageList, { signal });
  if (terminal.json) terminal.print(JSON.stringify({ items, builds }));
  else {
    const rows = items.map(({ name, host, digest, bytes, used_at: usedAt }) => [
      name,
      host,
      digest.slice(0, 19),
      `${Math.round(bytes / MIB)} MiB`,
      `used ${new Date(usedAt).toISOString()}`,
    ]);
    for (const line of table(rows)) terminal.print(line);
    for (const { name, host, state, error } of builds)
      terminal.print(`${name} on ${host}: ${state}${error === null ? "" : `, ${error.split("\n")[0]}`}`);
    if (items.length + builds.length === 0)
      terminal.print("no image was built yet; the built-in image host needs none");
  }
  return EXIT.done;
}

async function buildImage(context: CommandContext, { image, rebuild = false, host }: BuildOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const what = image.includes("/") ? { task_id: image } : { name: image };
  const place = host === undefined ? {} : { host };
  const started = await session.client.post("/v1/images", BackgroundJob, {
    body: { ...what, ...place, rebuild },
    signal,
  });
  const lines = new LogReader(session.client, terminal.note);
  const job = await finishJob(session.client, "/v1/builds", started, {
    signal,
    onProgress: async ({ report }) => {
      const building = Building.safeParse(report);
      if (building.success) await lines.read(building.data.image, host, signal);
    },
  });
  const { digest } = BuildReport.parse(job.report);
  terminal.print(terminal.json ? JSON.stringify(job.report) : `image ${image} is built: ${digest}`);
  return EXIT.done;
}

/** While it runs. */
const Building = z.object({ image: z.string() });
const BuildReport = z.object({ image: z.string(), digest: z.string() });

async function showLog(context: CommandContext, { image, follow = false, host }: LogOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const lines = new LogReader(session.client, terminal.print);
  for (;;) {
    const { state, more } = await lines.read(image, host, signal);
    if (more) continue;
    if (state === "failed" || state === "cancelled") return EXIT.failed;
    if (state === "done" || !follow) return EXIT.done;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
  }
}

/** Reads a log on from where it was. */
class LogReader {
  readonly #client: Client;
  readonly #say: (line: string) => void;
  #next = 0;

  constructor(client: Client, say: (line: string) => void) {
    this.#client = client;
    this.#say = say;
  }

  async read(
    image: string,
    host: string | undefined,
    signal: AbortSignal,
  ): Promise<{ state: ImageLog["state"]; more: boolean }> {
    const query = { after: this.#next, host };
    const log = await this.#client.get(`/v1/images/${encodeURIComponent(image)}/log`, ImageLog, { query, signal });
    // Another build of the image has begun.
    if (log.next < this.#next) this.#next = 0;
    if (log.dropped > 0) this.#say(`… ${log.dropped} lines are kept no more`);
    for (const line of log.lines) this.#say(line);
    const more = log.next > this.#next;
    this.#next = log.next;
    return { state: log.state, more };
  }
}

async function cancelBuild(context: CommandContext, { image }: { readonly image: string }): Promise<number> {
  await using session = await openSession(context);
  const answer = z.object({ name: z.string(), cancelled: z.array(z.string()) });
  const path = `/v1/images/${encodeURIComponent(image)}/build`;
  const { cancelled } = await session.client.delete(path, answer, { signal: context.signal });
  context.terminal.print(context.terminal.json ? JSON.stringify({ cancelled }) : `cancelled: ${cancelled.join(", ")}`);
  return EXIT.done;
}

const CollectReport = z.object({ removed: z.array(z.string()), bytes_before: z.int(), bytes_after: z.int() });

async function collect(context: CommandContext, { keepMib, host }: CollectOptions): Promise<number> {
  const { terminal, signal } = context;
  await using session = await openSession(context);
  const keep = keepMib === undefined ? {} : { keep_bytes: keepMib * MIB };
  const body = { ...keep, ...(host === undefined ? {} : { host }) };
  const started = await session.client.post("/v1/images/gc", BackgroundJob, { body, signal });
  const job = await finishJob(session.client, "/v1/builds", started, { signal, onProgress: () => undefined });
  const report = CollectReport.parse(job.report);
  const freed = Math.round((report.bytes_before - report.bytes_after) / MIB);
  const left = Math.round(report.bytes_after / MIB);
  terminal.print(
    terminal.json
      ? JSON.stringify(report)
      : `removed ${report.removed.length === 0 ? "nothing" : report.removed.join(", ")}: ${freed} MiB freed, ${left} MiB left`,
  );
  return EXIT.done;
}
