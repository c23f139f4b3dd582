import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { availableParallelism, homedir, totalmem } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { parse as parseToml } from "smol-toml";
import * as z from "zod";
import { newProcessId, sha256 } from "../core/ids.ts";
import { type BlobPlace, blobPlace } from "./blob-place.ts";

/** The checkout (or installed package) that this file is part of. */
const ROOT = resolve(import.meta.dirname, "..");

const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Of a database that the processes of many hosts share. */
const STORE_URL = /^postgres(ql)?:\/\/./;
const STORE_HINT = "must begin with postgres://";

const GIB = 1024 ** 3;

const count = z.coerce.number().int().min(1).max(4096);

const gib = z.coerce.number().min(0).max(1_000_000);

/** What can be set, by its name in `polygym.toml`; in the environment `POLYGYM_` and the name in capitals. */
const text = z.string().min(1).nullable().default(null);

const Settings = z.strictObject({
  host: z.string().min(1).default("127.0.0.1").describe("address the server listens on"),
  port: z.coerce.number().int().min(0).max(65_535).default(7400).describe("0: any free port"),
  redis_url: text.describe("redis://, rediss:// or unix:///path [a private server]"),
  store: z
    .string()
    .regex(STORE_URL, STORE_HINT)
    .nullable()
    .default(null)
    .describe("postgres://user:password@host/database [files in the home folder, for one host]"),
  blobs: text.describe(
    "folder that every host sees, or s3://bucket/prefix, for large blobs of a PostgreSQL store [in the database]",
  ),
  s3_endpoint: z.url().nullable().default(null).describe("of a service other than AWS, e.g. http://minio:9000"),
  s3_region: z.string().min(1).default("us-east-1"),
  s3_access_key: text,
  s3_secret_key: text,
  workers: count.default(availableParallelism()).describe("worker processes [one per core]"),
  episodes_per_worker: count.default(256).describe("live episodes in one worker process"),
  episodes_per_token: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe("episodes of one token that have not ended; one more is refused"),
  live_per_token: count
    .nullable()
    .default(null)
    .describe(
      "live episodes of one token over all workers; one more waits, its token's idle ones are parked [no bound]",
    ),
  verifiers_per_worker: count.default(2).describe("verifications at once in one worker process"),
  snapshot_bytes: z.coerce
    .number()
    .int()
    .min(1024 * 1024)
    .nullable()
    .default(null)
    .describe("memory for the frozen files of one worker process [a quarter of the machine's, shared by the workers]"),
  save_every_steps: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(50)
    .describe("a live episode is saved after so many steps: a lost worker's are replayed from there"),
  save_every_s: z.coerce
    .number()
    .positive()
    .max(1_000_000)
    .default(300)
    .describe("or after a step that ends so many seconds after the last save"),
  egress: z
    .stringbool()
    .default(false)
    .describe("tasks reach the hosts that they declare, over a logged proxy; others reach nothing"),
  sandbox: z.enum(["light", "docker", "fake"]).default("light").describe("tier of the sandboxes"),
  docker_host: text.describe(
    "unix:///path or tcp://host:port of the engine of tier docker [DOCKER_HOST, else /var/run/docker.sock]",
  ),
  docker_certificates: text.describe(
    "folder with ca.pem, cert.pem and key.pem, for an engine over TLS [DOCKER_CERT_PATH]",
  ),
  docker_runtime: z
    .string()
    .regex(/^[\w.-]+$/)
    .nullable()
    .default(null)
    .describe("runtime of the engine, such as runsc [the engine's own]"),
  images_high_gib: gib.default(40).describe("above so much, images that nothing uses are removed"),
  images_low_gib: gib.default(30).describe("until so much is left"),
  log_level: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  process_id: z.string().min(1).max(96).nullable().default(null),
  url: z.string().min(1).nullable().default(null).describe("of the service that clients talk to"),
  token: z.string().min(1).nullable().default(null),
});
type Settings = z.infer<typeof Settings>;

/** The variables of the environment that are settings. */
export const SETTING_VARIABLES: readonly string[] = Object.keys(Settings.shape).map(variableOf);

const Package = z.object({ version: z.string() });

/** Never read from a file that others may see or that outlives the process. */
const NOT_IN_FILE = ["process_id", "token", "s3_access_key", "s3_secret_key"] as const;

/** The configuration of one process, read once. Precedence: flag, environment, `polygym.toml`, default. */
export interface Config {
  /** Folder of all state: token, store, images, redis. Absolute. */
  readonly home: string;
  /** The checkout. */
  readonly root: string;
  /** Of this polygym. */
  readonly version: string;
  readonly host: string;
  readonly port: number;
  /** Null: a private server is started. */
  readonly redisUrl: string | null;
  /** Short folder for sockets (their paths are limited to 107 bytes). */
  readonly runDir: string;
  readonly storeDir: string;
  /** Null: the embedded store in `storeDir`. May carry a password. */
  readonly storeUrl: string | null;
  /** Of large blobs of a PostgreSQL store; null: the database itself. */
  readonly blobs: BlobPlace | null;
  /** Folders that programs are looked for in. */
  readonly searchPath: readonly string[];
  readonly workers: number;
  readonly episodesPerWorker: number;
  /** Open episodes of one token. */
  readonly episodesPerToken: number;
  /** Live episodes of one token over all workers; null: no bound. */
  readonly livePerToken: number | null;
  readonly verifiersPerWorker: number;
  /** Memory that frozen states may take in one worker process. */
  readonly snapshotBytes: number;
  readonly saveEverySteps: number;
  readonly saveEveryS: number;
  readonly egress: boolean;
  readonly tier: Settings["sandbox"];
  /** Engine of tier docker; null: the usual socket. */
  readonly dockerHost: string | null;
  /** For an engine over TLS. */
  readonly dockerCertificates: string | null;
  /** Of the engine; null: its own. */
  readonly dockerRuntime: string | null;
  /** Watermarks of the images below `home`. */
  readonly imagesHighBytes: number;
  readonly imagesLowBytes: number;
  readonly logLevel: Settings["log_level"];
  /** Fresh per start of a process. */
  readonly processId: string;
  /** For clients; null: the default address. */
  readonly url: string | null;
  /** For clients; null: the file `token` in `home`. */
  readonly token: string | null;
}

/** Flags of a command line, and what kind of process asks. */
export type ConfigOverrides = { readonly [K in keyof Omit<Config, "root" | "version">]?: Config[K] | undefined } & {
  readonly kind?: "server" | "worker" | undefined;
};

/** A setting is wrong. The message names each one, where it came from and what it may be. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export function loadConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
  overrides: ConfigOverrides = {},
): Config {
  const home = resolve(overrides.home ?? nonEmpty(env.POLYGYM_HOME) ?? defaultHome());
  const file = readSettingsFile(env, home);
  const given: Record<string, { value: unknown; source: string }> = {};
  for (const [name, value] of Object.entries(file.values)) given[name] = { value, source: `${file.path}: ${name}` };
  for (const name of Object.keys(Settings.shape)) {
    const value = nonEmpty(env[variableOf(name)]);
    if (value !== undefined) given[name] = { value, source: variableOf(name) };
  }
  const parsed = Settings.safeParse(
    Object.fromEntries(Object.entries(given).map(([name, { value }]) => [name, value])),
  );
  if (!parsed.success) throw new ConfigError(describeProblems(parsed.error, given, file.path));
  const settings = parsed.data;
  const defaults: Config = {
    home,
    root: ROOT,
    version: Package.parse(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))).version,
    host: settings.host,
    port: settings.port,
    redisUrl: settings.redis_url,
    runDir: runDirOf(home),
    storeDir: join(home, "store"),
    storeUrl: settings.store,
    blobs: blobsOf(settings, given.blobs?.source),
    searchPath: [...(env.PATH ?? "").split(delimiter).filter((f) => f !== ""), ...SYSTEM_FOLDERS],
    workers: settings.workers,
    episodesPerWorker: settings.episodes_per_worker,
    episodesPerToken: settings.episodes_per_token,
    livePerToken: settings.live_per_token,
    verifiersPerWorker: settings.verifiers_per_worker,
    snapshotBytes: settings.snapshot_bytes ?? Math.floor(totalmem() / 4 / settings.workers),
    saveEverySteps: settings.save_every_steps,
    saveEveryS: settings.save_every_s,
    egress: settings.egress,
    tier: settings.sandbox,
    dockerHost: settings.docker_host ?? nonEmpty(env.DOCKER_HOST) ?? null,
    dockerCertificates: settings.docker_certificates ?? nonEmpty(env.DOCKER_CERT_PATH) ?? null,
    dockerRuntime: settings.docker_runtime,
    imagesHighBytes: settings.images_high_gib * GIB,
    imagesLowBytes: settings.images_low_gib * GIB,
    logLevel: settings.log_level,
    processId: settings.process_id ?? newProcessId(overrides.kind ?? "server"),
    url: settings.url,
    token: settings.token,
  };
  const { kind: _, ...flags } = overrides;
  if (flags.storeUrl != null && !STORE_URL.test(flags.storeUrl)) throw new ConfigError(`--store ${STORE_HINT}`);
  return { ...defaults, ...withoutUndefined(flags), home };
}

function blobsOf(settings: Settings, source = "blobs"): BlobPlace | null {
  if (settings.blobs === null) return null;
  try {
    return blobPlace(settings.blobs, {
      endpoint: settings.s3_endpoint,
      region: settings.s3_region,
      accessKey: settings.s3_access_key,
      secretKey: settings.s3_secret_key,
    });
  } catch (error) {
    throw new ConfigError(`${source}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function variableOf(setting: string): string {
  return `POLYGYM_${setting.toUpperCase()}`;
}

const nonEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(record: T): Defined<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Defined<T>; // the filter's doing
}

/** A checkout that this user may write keeps its state in itself; the launcher decides alike. */
function defaultHome(): string {
  return isWritable(ROOT) ? join(ROOT, ".polygym") : join(homedir(), ".polygym");
}

function runDirOf(home: string): string {
  const tag = sha256(home).slice("sha256:".length, "sha256:".length + 8);
  return process.getuid?.() === 0 && isWritable("/run") ? `/run/polygym/${tag}` : `/tmp/polygym-${tag}`;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

interface SettingsFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

function readSettingsFile(env: Readonly<Record<string, string | undefined>>, home: string): SettingsFile {
  const named = nonEmpty(env.POLYGYM_CONFIG);
  const path =
    named ?? [join(home, "polygym.toml"), join(ROOT, "polygym.toml")].find((candidate) => existsSync(candidate));
  if (path === undefined) return { path: "polygym.toml", values: {} };
  let values: Record<string, unknown>;
  try {
    values = parseToml(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const misplaced = NOT_IN_FILE.filter((name) => name in values);
  if (misplaced.length > 0)
    throw new ConfigError(`${path}: ${misplaced.join(", ")} cannot be set in a file; use the environment`);
  return { path, values };
}

function describeProblems(error: z.ZodError, given: Record<string, { source: string }>, file: string): string {
  const lines = error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys")
      return `${file}: ${issue.keys.join(", ")} is no setting; choose from ${Object.keys(Settings.shape).join(", ")}`;
    const source = given[String(issue.path[0])]?.source ?? String(issue.path[0]);
    return `${source}: ${issue.message}`;
  });
  return lines.join("\n");
}

/**
 * What a step leaves behind lives short: a young generation of a few MB holds it. By Node's own bound each process takes 20
 * to 50 MB more before anything is collected.
 */
const YOUNG_GENERATION = "--max-semi-space-size=4";

/** Whoever sets the bound knows better. */
const nodeOptions = (given = ""): string =>
  given.includes("--max-semi-space-size") ? given : `${given} ${YOUNG_GENERATION}`.trim();

/**
 * Pools of the C allocator. It makes up to eight for each core, one for each thread that allocates, and gives none back: with
 * Node's helper threads every process grew by some 6 MB for each of them, over thousands of episodes.
 */
const ALLOCATOR_POOLS = "2";

/** As {@link blobPlace} reads them. */
function blobVariables(blobs: BlobPlace | null): Record<string, string> {
  if (blobs === null) return {};
  if (blobs.kind === "folder") return { POLYGYM_BLOBS: blobs.dir };
  const cut = blobs.endpoint.lastIndexOf("/");
  return {
    POLYGYM_BLOBS: `s3://${blobs.endpoint.slice(cut + 1)}/${blobs.prefix}`,
    POLYGYM_S3_ENDPOINT: blobs.endpoint.slice(0, cut),
    POLYGYM_S3_REGION: blobs.region,
    POLYGYM_S3_ACCESS_KEY: blobs.accessKey,
    POLYGYM_S3_SECRET_KEY: blobs.secretKey,
  };
}

/** The environment of a process of ours that this one starts: its own, with what this configuration decided. */
export function processEnvironment(config: Config): Record<string, string> {
  const own = {
    NODE_OPTIONS: nodeOptions(process.env.NODE_OPTIONS),
    MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX ?? ALLOCATOR_POOLS,
    POLYGYM_HOME: config.home,
    POLYGYM_HOST: config.host,
    POLYGYM_PORT: String(config.port),
    POLYGYM_REDIS_URL: config.redisUrl ?? undefined,
    POLYGYM_STORE: config.storeUrl ?? undefined,
    ...blobVariables(config.blobs),
    POLYGYM_URL: config.url ?? undefined,
    POLYGYM_TOKEN: config.token ?? undefined,
    POLYGYM_EPISODES_PER_WORKER: String(config.episodesPerWorker),
    POLYGYM_EPISODES_PER_TOKEN: String(config.episodesPerToken),
    POLYGYM_LIVE_PER_TOKEN: config.livePerToken === null ? undefined : String(config.livePerToken),
    POLYGYM_VERIFIERS_PER_WORKER: String(config.verifiersPerWorker),
    POLYGYM_SNAPSHOT_BYTES: String(config.snapshotBytes),
    POLYGYM_SAVE_EVERY_STEPS: String(config.saveEverySteps),
    POLYGYM_SAVE_EVERY_S: String(config.saveEveryS),
    POLYGYM_EGRESS: String(config.egress),
    POLYGYM_SANDBOX: config.tier,
    POLYGYM_DOCKER_HOST: config.dockerHost ?? undefined,
    POLYGYM_DOCKER_CERTIFICATES: config.dockerCertificates ?? undefined,
    POLYGYM_DOCKER_RUNTIME: config.dockerRuntime ?? undefined,
    POLYGYM_IMAGES_HIGH_GIB: String(config.imagesHighBytes / GIB),
    POLYGYM_IMAGES_LOW_GIB: String(config.imagesLowBytes / GIB),
    POLYGYM_LOG_LEVEL: config.logLevel,
    POLYGYM_PROCESS_ID: config.processId,
  };
  return withoutUndefined({ ...process.env, ...own }) as Record<string, string>; // undefined values are gone
}
