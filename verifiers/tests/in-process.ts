import { GymError } from "../../core/errors.ts";
import type { Judgement, Room } from "../../core/verifier.ts";
import type { TestPlan } from "./config.ts";

export async function verifyInProcess(room: Room, plan: Extract<TestPlan, { type: "in-process" }>): Promise<Judgement> {
  throw new GymError("verifier_failed", `not yet ${room.task.id} ${plan.type}`);
}
