import { setTimeout as delay } from "node:timers/promises";
import WebSocket from "ws";

const INSPECTOR = "http://127.0.0.1:9229/json/list";
const OPENS_MS = 5_000;
const POLL_MS = 20;
/** By then the client has left. */
const LEFT_MS = 500;

/**
 * Evaluates an expression inside a running Node process, by its own debugger: SIGUSR1 opens it on a fixed port, so one
 * process at a time. Resolves when the expression was handed over; it may block the process for long.
 */
export async function evaluateIn(pid: number, expression: string): Promise<void> {
  process.kill(pid, "SIGUSR1");
  const address = await debuggerOf(pid);
  const socket = new WebSocket(address);
  const opened = Promise.withResolvers<void>();
  socket.once("open", () => opened.resolve());
  socket.once("error", (error) => opened.reject(error));
  await opened.promise;
  const sent = Promise.withResolvers<void>();
  // The debugger is closed, so that the next process finds the port free; not under its client, which can hang both.
  const source = `setTimeout(() => process.getBuiltinModule("node:inspector").close(), ${LEFT_MS}); ${expression}`;
  const message = { id: 1, method: "Runtime.evaluate", params: { expression: source } };
  socket.send(JSON.stringify(message), (error) => (error ? sent.reject(error) : sent.resolve()));
  await sent.promise;
  socket.on("error", () => undefined); // the process may die under it
  socket.close();
}

async function debuggerOf(pid: number): Promise<string> {
  const deadline = performance.now() + OPENS_MS;
  for (;;) {
    try {
      const pages = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl?: string }[]; // Node's own format
      const [page] = pages;
      if (page?.webSocketDebuggerUrl !== undefined) return page.webSocketDebuggerUrl;
    } catch (error) {
      if (performance.now() > deadline)
        throw new Error(`the debugger of process ${pid} did not open within ${OPENS_MS} ms`, { cause: error });
    }
    await delay(POLL_MS);
  }
}
