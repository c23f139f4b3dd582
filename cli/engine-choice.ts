import { join } from "node:path";
import type { Config } from "../platform/config.ts";
import {
  engineAnswers,
  findEngineProgram,
  privateEngineSocket,
  startPrivateEngine,
} from "../platform/private-engine.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

const USUAL_SOCKET = "/var/run/docker.sock";
const ADVICE =
  "start one (systemctl start docker), install one (apt-get install docker.io), name one in POLYGYM_DOCKER_HOST, or use --sandbox light";

/** How a service of tier docker comes to its engine. */
export type EngineChoice =
  | { readonly type: "given"; readonly address: string | null; readonly detail: string }
  | { readonly type: "startable"; readonly detail: string }
  | { readonly type: "none"; readonly detail: string; readonly advice: string };

/** The configured engine, the machine's, one that our service runs, else what can be done. */
export async function lookForEngine(config: Config): Promise<EngineChoice> {
  const { dockerHost, searchPath } = config;
  if (dockerHost !== null) return { type: "given", address: dockerHost, detail: `${dockerHost}, as configured` };
  if (await engineAnswers(USUAL_SOCKET)) return { type: "given", address: null, detail: `answers at ${USUAL_SOCKET}` };
  const own = privateEngineSocket(runFolderOf(config));
  if (await engineAnswers(own))
    return { type: "given", address: `unix://${own}`, detail: `private, answers at ${own}` };
  const none = `none answers at ${USUAL_SOCKET}`;
  if (process.geteuid?.() === 0 && (await findEngineProgram(searchPath)) !== null)
    return { type: "startable", detail: `${none}: a service of tier docker starts a private one (dockerd)` };
  return { type: "none", detail: none, advice: ADVICE };
}

export interface ChosenEngine extends AsyncDisposable {
  /** The configuration with the engine's address in it. */
  readonly config: Config;
}

/** For tier docker an engine that answers, started if need be; whoever asked for it disposes it. Other tiers need none. */
export async function chooseEngine(config: Config, onStart: (line: string) => void): Promise<ChosenEngine> {
  const nothing = async (): Promise<void> => undefined;
  if (config.tier !== "docker") return { config, [Symbol.asyncDispose]: nothing };
  const choice = await lookForEngine(config);
  if (choice.type === "none")
    throw new CommandError(EXIT.lacking, `no container engine: ${choice.detail}`, choice.advice);
  if (choice.type === "given")
    return { config: { ...config, dockerHost: choice.address }, [Symbol.asyncDispose]: nothing };
  onStart(`no container engine answers at ${USUAL_SOCKET}: starting a private one`);
  const engine = await startPrivateEngine({
    dataFolder: join(config.home, "engine"),
    runFolder: runFolderOf(config),
    searchPath: config.searchPath,
  });
  return { config: { ...config, dockerHost: engine.address }, [Symbol.asyncDispose]: () => engine.close() };
}

function runFolderOf({ runDir }: Config): string {
  return join(runDir, "engine");
}
