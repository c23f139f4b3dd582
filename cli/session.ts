import { Client } from "./client.ts";
import type { CommandContext } from "./context.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { warnOfMissingLimits } from "./sandbox-check.ts";
import { answers, type RunningService, startService, tokenOf } from "./service.ts";
import { readServiceFile } from "./service-file.ts";
import { until } from "./until.ts";

/** A service that has claimed the home but does not answer yet gets this long. */
const STARTING_DEADLINE_MS = 30_000;

/** A service to talk to, for the duration of one command. Disposing it stops an embedded service and no other. */
export interface Session extends AsyncDisposable {
  readonly client: Client;
  readonly url: string;
  /** Set when this command started the service itself. */
  readonly embedded: RunningService | null;
}

/** The configured service, else the one of this home, else an embedded one. */
export async function openSession(context: CommandContext): Promise<Session> {
  const { config } = context;
  if (config.url !== null) {
    if (!(await answers(`${config.url}/health/live`)))
      throw new CommandError(
        EXIT.unreachable,
        `no service answers at ${config.url}`,
        "check --server and POLYGYM_URL, or start one with `polygym up`",
      );
    return guest(config.url, await tokenOf(config));
  }
  const url = await serviceOfHome(context);
  if (url !== null) return guest(url, await tokenOf(config));
  context.terminal.note("no service answers: starting one for this command");
  const service = await startService({ config, anyPort: true, onEvent: context.terminal.warn, signal: context.signal });
  await Promise.all([service.workersReady(context.signal), warnOfMissingLimits(context)]);
  return {
    client: new Client({ url: service.url, token: await tokenOf(config) }),
    url: service.url,
    embedded: service,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

function guest(url: string, token: string | null): Session {
  return { client: new Client({ url, token }), url, embedded: null, [Symbol.asyncDispose]: async () => undefined };
}

async function serviceOfHome({ config, signal }: CommandContext): Promise<string | null> {
  const claimed = readServiceFile(config.home);
  if (claimed !== null) {
    await until(() => answers(`${claimed.url}/health/live`), {
      deadlineMs: STARTING_DEADLINE_MS,
      signal,
      otherwise: () =>
        new CommandError(
          EXIT.unreachable,
          `the service of ${config.home} (process ${claimed.pid}) does not answer`,
          "its logs are in the folder `logs` there",
        ),
    });
    return claimed.url;
  }
  // Somebody else's service may hold the default address: it is ours only if it takes our token.
  const token = await tokenOf(config);
  const url = `http://${config.host}:${config.port}`;
  if (token === null || config.port === 0) return null;
  return (await answers(`${url}/v1/capacity`, { authorization: `Bearer ${token}` })) ? url : null;
}
