import type { Logger } from "pino";
import { GymError } from "../core/errors.ts";
import type { Mailbox } from "../platform/mailbox.ts";

/** Letters to servers say what the store holds already: one that Redis does not take costs time, and ends nothing. */
export function hinting(mailbox: Mailbox, log: Logger): Mailbox {
  const attempted = async (sending: Promise<void>): Promise<void> => {
    try {
      await sending;
    } catch (error) {
      log.warn({ err: error }, "letter not sent: who waits for it looks into the store");
    }
  };
  return {
    ...mailbox,
    toServer: (server, mail) => attempted(mailbox.toServer(server, mail)),
    broadcast: (mail) => attempted(mailbox.broadcast(mail)),
  };
}

/** A job whose episode says in the store that it is due: when the queue does not take it, the sweeper adds it later. */
export async function enqueueOrSweep(log: Logger, adding: Promise<void>): Promise<void> {
  try {
    await adding;
  } catch (error) {
    if (!(error instanceof GymError) || error.code !== "queue_failed") throw error;
    log.warn({ err: error }, "job not queued: the sweeper adds it");
  }
}
