import type { ZodTypeProvider } from "@fastify/type-provider-zod";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import * as z from "zod";
import { Problem } from "../../core/errors.ts";
import { EpisodeId } from "../../core/ids.ts";

/** The app as routes see it: types of bodies, queries and parameters come from their schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export const EpisodeParams = z.object({ id: EpisodeId });
/** Ids of tasks, frameworks and verifiers contain `/`: the rest of the path is the id. */
export const RestParams = z.object({ "*": z.string().min(1).max(256) });

export const PageQuery = z.object({
  after: z.string().max(512).optional().describe("`next` of the page before"),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

/** Success is always 200; everything else is a problem document. */
export const answers = <T extends z.ZodType>(ok: T) => ({ 200: ok, default: Problem });

export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().nullable().describe("pass as `after`; null on the last page") });

/** A page of what is held in memory, sorted by id. */
export function pageOf<T extends { readonly id: string }>(
  all: readonly T[],
  { after, limit }: z.infer<typeof PageQuery>,
): { items: T[]; next: string | null } {
  const rest = after === undefined ? all : all.filter((item) => item.id > after);
  const items = rest.slice(0, limit);
  return { items, next: rest.length > items.length ? (items.at(-1)?.id ?? null) : null };
}
