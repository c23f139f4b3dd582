import * as z from "zod";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** Any JSON value. */
export const Json: z.ZodType<Json> = z.json() as z.ZodType<Json>;
export const JsonObject = z.record(z.string(), Json);
export type JsonObject = z.infer<typeof JsonObject>;
