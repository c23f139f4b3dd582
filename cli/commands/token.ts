import { Option } from "commander";
import * as z from "zod";
import { API_ROLES, type ApiRole } from "../../core/records.ts";
import type { CommandContext } from "../context.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import type { Registry } from "../registry.ts";
import { tokenOf } from "../service.ts";
import { openSession } from "../session.ts";

interface CreateOptions {
  readonly role: ApiRole;
  readonly name?: string;
}

export function addToken({ program, action }: Registry): void {
  const token = program.command("token").summary("show the operator's token, or make one for somebody else");
  token.command("show", { isDefault: true }).summary("the token of this home").action(action(showToken));
  token
    .command("create")
    .summary("a token with one role, shown once")
    .addOption(new Option("--role <role>").choices(API_ROLES).makeOptionMandatory())
    .option("--name <name>", "for whom")
    .action(action(createToken));
}

async function showToken({ config, terminal }: CommandContext): Promise<number> {
  const token = await tokenOf(config);
  if (token === null)
    throw new CommandError(
      EXIT.nothingMatched,
      `there is no token in ${config.home} yet`,
      "the first `polygym up` or `polygym demo` makes it",
    );
  terminal.print(terminal.json ? JSON.stringify({ token }) : token);
  return EXIT.done;
}

const NewToken = z.object({ token: z.string(), role: z.string() });

async function createToken(context: CommandContext, { role, name }: CreateOptions): Promise<number> {
  await using session = await openSession(context);
  const made = await session.client.post("/v1/tokens", NewToken, {
    body: { role, ...(name === undefined ? {} : { name }) },
    signal: context.signal,
  });
  context.terminal.print(context.terminal.json ? JSON.stringify(made) : made.token);
  return EXIT.done;
}
