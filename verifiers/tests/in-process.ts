import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { GymError } from "../../core/errors.ts";
import type { ExecResult, Sandbox } from "../../core/sandbox.ts";
import type { FileTree } from "../../core/task.ts";
import type { Check, Flag, Judgement, Room } from "../../core/verifier.ts";
import { ChannelLines } from "../calls/channel-lines.ts";
import { SubjectFault } from "../clean-room/subject-fault.ts";
import { mustFail, type PlannedRun, planRuns, type RunRecord, sentinels, weighRuns } from "./canaries.ts";
import { EXPECTED_FILE, type TestPlan } from "./config.ts";
import { flagSuspiciousCode } from "./suspicious-code.ts";

/**
 * A repository's suite in the attempt's own process.
 * Covers: whatever changes how outcomes are reported. Every report must be what the worker decided after the body ran, and
 * the attempt's process never learns which run counts. Tests and settings are restored, their code is compared with its source.
 * Does not cover: code that changes what the bodies themselves compute for the tests alone.
 */

type InProcessPlan = Extract<TestPlan, { type: "in-process" }>;

const MAX_FRAME_BYTES = 8 * 1024 * 1024;
const MAX_CHANNEL_BYTES = 64 * 1024 * 1024;

const nonce = z.string();
const Frame = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("unfit"), nonce, id: z.string() }),
  z.strictObject({ type: z.literal("collected"), nonce, ids: z.array(z.string()), spoilable: z.array(z.string()) }),
  z.strictObject({ type: z.literal("code"), nonce, changed: z.array(z.string()) }),
  z.strictObject({ type: z.literal("body"), nonce, name: z.string(), raised: z.string().nullable() }),
  z.strictObject({ type: z.literal("report"), nonce, name: z.string(), when: z.string(), outcome: z.string() }),
  z.strictObject({ type: z.literal("end"), nonce, status: z.int() }),
]);
type Frame = z.infer<typeof Frame>;

export async function verifyInProcess(room: Room, plan: InProcessPlan): Promise<Judgement> {
  const overlay = new Map(room.files);
  overlay.delete(EXPECTED_FILE);
  const suspicions = flagSuspiciousCode(room.submission.tar);
  try {
    // The tests' own folders hold the trusted files and nothing else.
    const sandbox = await room.subject(overlay, plan.config.paths);
    const suite = new SuiteRun(room.seed, plan, overlay);
    await suite.run(sandbox, room.interpreter("python3"), room.limits.wallMs);
    return suite.judgement(suspicions);
  } catch (error) {
    if (error instanceof SubjectFault) error.checks = plan.expected.map((id) => ({ id, status: "missing" }));
    throw error;
  }
}

/** One run of pytest, spoken with over its channel. */
class SuiteRun {
  readonly #seed: number;
  readonly #plan: InProcessPlan;
  readonly #overlay: FileTree;
  readonly #nonce = randomBytes(16).toString("hex");
  readonly #records = new Map<string, RunRecord>();
  readonly #changed = new Set<string>();
  #runs: readonly PlannedRun[] = [];
  #codeChecks = 0;
  #end: number | null = null;
  #bytes = 0;

  constructor(seed: number, plan: InProcessPlan, overlay: FileTree) {
    this.#seed = seed;
    this.#plan = plan;
    this.#overlay = overlay;
  }

  async run(sandbox: Sandbox, python: string, wallMs: number): Promise<void> {
    const driver = await readFile(new URL("./pytest_driver.py", import.meta.url), "utf8");
    const problem = Promise.withResolvers<never>();
    const fail = (error: unknown) => problem.reject(error);
    // Lost races are told by the winner.
    problem.promise.catch(() => undefined);
    let send: (frame: object) => void = () => undefined;
    const lines = new ChannelLines({
      maxLineBytes: MAX_FRAME_BYTES,
      onOverflow: () => fail(violation("a frame is too long")),
      onLine: (line) => {
        try {
          this.#handle(line, send);
        } catch (error) {
          fail(error);
        }
      },
    });
    await using process = await sandbox.spawn({
      argv: [python, "-I", "-B", "-c", driver],
      timeoutMs: Math.min(3_600_000, wallMs),
      channel: true,
      onOutput: ({ stream, data }) => {
        if (stream !== "channel") return;
        this.#bytes += data.length;
        if (this.#bytes > MAX_CHANNEL_BYTES) fail(violation("too many frames"));
        else lines.push(data);
      },
    });
    send = (frame) => {
      process.write(`${JSON.stringify(frame)}\n`).catch(fail);
    };
    send(this.#hello());
    const exit = await Promise.race([process.exit, problem.promise]);
    this.#checkEnd(exit);
  }

  judgement(suspicions: readonly Flag[]): Judgement {
    const { checks, forged } = weighRuns(this.#runs, this.#records);
    const signs = [...forged, ...[...this.#changed].map((id) => `${id}: its code was changed`)];
    if (this.#codeChecks !== 2) signs.push("the code of the tests was not checked twice");
    const status = checks.length > 0 && checks.every((check) => check.status === "passed") && signs.length === 0;
    const passed = checks.filter((check) => check.status === "passed").length;
    return {
      score: status ? 1 : 0,
      checks,
      flags: [...signs.slice(0, 20).map((detail): Flag => ({ name: "forged", detail })), ...suspicions],
      detail: { passed, total: checks.length, runs: this.#runs.length },
    };
  }

  #hello(): object {
    const files = [...this.#overlay.keys()].filter((path) => path.endsWith(".py"));
    const functions = [...new Set(this.#plan.expected.map((id) => id.split("[")[0] ?? id))];
    const { paths, python_path } = this.#plan.config;
    return {
      nonce: this.#nonce,
      files,
      expected: this.#plan.expected,
      sentinels: sentinels(this.#seed, functions),
      paths,
      python_path,
    };
  }

  #handle(line: string, send: (frame: object) => void): void {
    const frame = this.#parse(line);
    switch (frame.type) {
      case "unfit":
        throw new GymError("task_invalid", `${frame.id} is not a plain test function or method and cannot have a twin`);
      case "collected":
        this.#collected(frame, send);
        return;
      case "code":
        this.#codeChecks++;
        for (const id of frame.changed) this.#changed.add(id);
        return;
      case "body":
        this.#bodyRan(frame, send);
        return;
      case "report":
        this.#record(frame.name).reports.push({ when: frame.when, outcome: frame.outcome });
        return;
      case "end":
        this.#end = frame.status;
    }
  }

  #parse(line: string): Frame {
    const frame = Frame.safeParse(parseJson(line));
    if (!frame.success) throw violation("a frame of the wrong form");
    if (frame.data.nonce !== this.#nonce) throw violation("a frame without the run's nonce");
    if (this.#end !== null) throw violation("a frame after the last one");
    return frame.data;
  }

  #collected(frame: Extract<Frame, { type: "collected" }>, send: (frame: object) => void): void {
    if (this.#runs.length > 0) throw violation("the tests were collected twice");
    const present = this.#plan.expected.filter((id) => frame.ids.includes(id));
    const runs = planRuns(this.#seed, present, new Set(frame.spoilable));
    this.#runs = runs;
    send({ runs: runs.map(({ name, id, kind }) => ({ name, id, spoilt: kind.startsWith("spoilt") })) });
  }

  #bodyRan(frame: Extract<Frame, { type: "body" }>, send: (frame: object) => void): void {
    const run = this.#runs.find(({ name }) => name === frame.name);
    const record = this.#record(frame.name);
    if (run === undefined || record.raised !== null) throw violation("a body that was not due");
    record.raised = frame.raised !== null;
    send({ fail: mustFail(run.kind, record.raised) });
  }

  #record(name: string): RunRecord {
    const known = this.#records.get(name);
    if (known !== undefined) return known;
    if (!this.#runs.some((run) => run.name === name)) throw violation("a run that was not planned");
    const fresh: RunRecord = { raised: null, reports: [] };
    this.#records.set(name, fresh);
    return fresh;
  }

  #checkEnd(exit: ExecResult): void {
    if (exit.outOfMemory) throw new SubjectFault("out_of_memory", "the test run ran out of memory");
    if (exit.timedOut) throw new SubjectFault("timed_out", "the test run ran out of time");
    const said = Buffer.from(exit.stdout).toString("utf8").trim().slice(-800);
    if (this.#end === null || exit.exitCode !== this.#end)
      throw new SubjectFault(
        "early_exit",
        `the test run ended early (${exit.signal ?? `status ${exit.exitCode}`}): ${said}`,
      );
    const missing = this.#plan.expected.filter((id) => !this.#runs.some((run) => run.id === id));
    if (missing.length > 0) {
      const fault = new SubjectFault(null, `tests are missing: ${missing.slice(0, 5).join(", ")}: ${said}`);
      fault.checks = missing.map((id): Check => ({ id, status: "missing" }));
      throw fault;
    }
    // Twins and calibrations fail in every honest run.
    if (exit.exitCode !== 1) throw new SubjectFault("forged", `pytest ended with status ${exit.exitCode}`);
  }
}

const violation = (detail: string) => new SubjectFault("protocol_violation", detail);

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
