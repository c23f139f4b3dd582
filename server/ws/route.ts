import type { Tokens } from "../auth/tokens.ts";
import type { Parts } from "../parts.ts";
import type { App } from "../routes/app.ts";
import { Connection } from "./connection.ts";

export function socketRoute(app: App, parts: Parts, tokens: Tokens): void {
  app.get("/v1/ws", { websocket: true }, (socket, request) => {
    new Connection(parts, tokens, socket, request.credential);
  });
}
