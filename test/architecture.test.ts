import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** The layer table of the design: a folder and what it may import. `x/catalog.ts` allows that file alone. */
const layers: Record<string, readonly string[]> = {
  core: [],
  analysis: ["core"],
  platform: ["core"],
  environments: ["core"],
  verifiers: ["core"],
  docker: ["core"],
  workers: ["core", "platform", "environments", "verifiers", "docker"],
  server: [
    "core",
    "platform",
    "analysis",
    "environments/catalog.ts",
    "environments/tasks/catalog.ts",
    "environments/tasks/importers.ts",
    "environments/tasks/shared-catalog.ts",
    "verifiers/catalog.ts",
  ],
  cli: ["core", "platform"],
  bench: ["core", "docker", "platform/config.ts", "test/engine.ts"],
  // Not part of the product's arrows: tests stand above everything, examples are clients.
  test: ["*"],
  examples: [],
};

/** Packages that one folder keeps to itself. */
const fences: Record<string, string> = {
  fastify: "server",
  "@fastify/": "server",
  "@bull-board/": "server",
  bullmq: "platform",
  ioredis: "platform",
  dockerode: "docker",
  commander: "cli",
  picocolors: "cli",
};

/** The only packages that core may see. */
const packagesOfCore: readonly string[] = ["zod", "node:crypto"];

interface SourceFile {
  readonly path: string;
  readonly layer: string;
  readonly text: string;
  readonly imports: readonly string[];
  readonly isTest: boolean;
}

const paths = globSync("**/*.ts", {
  cwd: root,
  exclude: ["node_modules/**", ".polygym/**", "environments/tasks/*/*/**"],
}).sort();
const files = paths.filter((path) => path.includes("/")).map(read);

function read(path: string): SourceFile {
  const text = readFileSync(join(root, path), "utf8");
  const specifiers = [...text.matchAll(/(?:^|\s)(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
  const imports = specifiers.map((name) => (name.startsWith(".") ? normalize(join(dirname(path), name)) : name));
  return { path, layer: path.split("/")[0] ?? "", text, imports, isTest: path.endsWith(".test.ts") };
}

const isLocal = (name: string): boolean => (name.split("/")[0] ?? "") in layers;
const allowed = (file: SourceFile, name: string): boolean =>
  name.startsWith(`${file.layer}/`) ||
  (layers[file.layer] ?? []).some((rule) => rule === "*" || name === rule || name.startsWith(`${rule}/`));

test("every source file belongs to a folder of the layer table", () => {
  expect(files.filter((file) => !(file.layer in layers)).map((file) => file.path)).toEqual([]);
  expect(paths.filter((path) => !path.includes("/"))).toEqual(["vitest.config.ts"]);
});

test("looks at every file and at every kind of import", () => {
  expect(files.length).toBe(paths.length - 1);
  expect(files.filter((file) => file.layer === "core").length).toBeGreaterThanOrEqual(15);
  expect(files.flatMap((file) => file.imports).filter(isLocal).length).toBeGreaterThan(100);
});

test("no import crosses the layer table", () => {
  const crossings = files
    .filter((file) => !file.isTest)
    .flatMap((file) =>
      file.imports.filter((name) => isLocal(name) && !allowed(file, name)).map((name) => `${file.path} -> ${name}`),
    );
  expect(crossings).toEqual([]);
});

test("core imports zod and node:crypto only", () => {
  const foreign = files
    .filter((file) => file.layer === "core" && !file.isTest)
    .flatMap((file) => file.imports.filter((name) => !isLocal(name) && !packagesOfCore.includes(name)));
  expect(foreign).toEqual([]);
});

test("each fenced package is used in its own folder only", () => {
  const crossings = files.flatMap((file) =>
    file.imports.flatMap((name) =>
      Object.entries(fences)
        .filter(
          ([fenced, owner]) =>
            (name === fenced || name.startsWith(fenced.endsWith("/") ? fenced : `${fenced}/`)) && file.layer !== owner,
        )
        .map(([, owner]) => `${file.path} imports ${name}, which belongs to ${owner}`),
    ),
  );
  expect(crossings).toEqual([]);
});

test("the environment is read in platform/config.ts only", () => {
  const readers = files.filter(
    (file) => !file.isTest && !["test", "examples"].includes(file.layer) && /process\.env\b/.test(file.text),
  );
  expect(readers.map((file) => file.path).filter((path) => path !== "platform/config.ts")).toEqual([]);
});

test("nothing branches on the id of a framework or a verifier outside its own folder", () => {
  const branches = files
    .filter((file) => !file.isTest && file.layer !== "test")
    .filter((file) => /\b(?:framework|verifier)\.id\s*[!=]==?\s*"/.test(file.text));
  expect(branches.map((file) => file.path)).toEqual([]);
});
