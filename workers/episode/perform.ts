import type { EpisodeLimits, StopReason } from "../../core/episode.ts";
import { GymError } from "../../core/errors.ts";
import type { EventBody } from "../../core/events.ts";
import type { FrameworkSession, Turn } from "../../core/framework.ts";
import type { OutputChunk } from "../../core/sandbox.ts";
import type { StepMail } from "./conversation.ts";
import { describeFailure, type Failure } from "./ending.ts";
import { abortable, StepCut, watchLimits } from "./limits.ts";
import type { Meter } from "./meter.ts";

const FINISH_STOPS = {
  submitted: "submitted",
  truncated: "context_overflow",
  abandoned: "abandoned",
} as const satisfies Record<string, StopReason>;
const SILENCE: Turn = { messages: [], mode: "append", end: null };

export interface Performed {
  readonly turn: Turn;
  /** Why the episode ends with this step; null when it goes on. */
  readonly stop: StopReason | null;
  readonly failure: Failure | null;
  /** What ran, for the trajectory. */
  readonly tools: readonly EventBody[];
}

export interface StepFrame {
  readonly session: FrameworkSession;
  readonly meter: Meter;
  readonly limits: EpisodeLimits;
  readonly wallUsedMs: number;
  readonly controller: AbortController;
  readonly onOutput: (chunk: OutputChunk) => void;
}

/** Lets the framework do what the action says, within the episode's limits. Never throws: what went wrong is a stop. */
export async function perform(mail: StepMail, frame: StepFrame): Promise<Performed> {
  if ("finish" in mail.action)
    return { turn: SILENCE, stop: FINISH_STOPS[mail.action.finish.reason], failure: null, tools: [] };
  const { session, meter, controller } = frame;
  const tools: EventBody[] = [];
  using _watch = watchLimits(frame.limits, frame.wallUsedMs, meter, controller);
  meter.onRun = (run) => {
    tools.push({
      type: "tool.ran",
      conversation: mail.conversation,
      seq: mail.seq,
      tool: run.tool,
      exit_code: run.exitCode,
      timed_out: run.timedOut,
      duration_ms: run.durationMs,
      output_bytes: run.outputBytes,
    });
  };
  try {
    const turn = await abortable(
      session.step(mail.action, { signal: controller.signal, onOutput: frame.onOutput }),
      controller.signal,
    );
    return { turn, stop: turn.end, failure: null, tools };
  } catch (error) {
    if (error instanceof StepCut) return { turn: SILENCE, stop: error.reason, failure: null, tools };
    if (error instanceof GymError && error.code === "sandbox_killed")
      return { turn: SILENCE, stop: "sandbox_killed", failure: null, tools };
    return { turn: SILENCE, stop: "sandbox_lost", failure: describeFailure(error, "step"), tools };
  }
}
