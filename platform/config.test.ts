import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigError, loadConfig, processEnvironment } from "./config.ts";

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "polygym-config-"));
});
afterEach(() => {
  rmSync(home, { recursive: true });
});

const settings = (text: string) => writeFileSync(join(home, "polygym.toml"), text);
const load = (env: Record<string, string> = {}, overrides = {}) =>
  loadConfig({ POLYGYM_HOME: home, ...env }, overrides);

test("without settings the service is on this machine alone, with a private Redis", () => {
  expect(load()).toMatchObject({
    home,
    host: "127.0.0.1",
    port: 7400,
    redisUrl: null,
    storeDir: join(home, "store"),
    episodesPerWorker: 256,
    tier: "light",
    url: null,
    token: null,
  });
});

test("a flag wins over the environment, that over the file, that over the default", () => {
  settings('port = 1001\nhost = "0.0.0.0"\nworkers = 3\n');
  expect(load({ POLYGYM_PORT: "1002", POLYGYM_WORKERS: "4" }, { workers: 5 })).toMatchObject({
    port: 1002,
    host: "0.0.0.0",
    workers: 5,
    verifiersPerWorker: 2,
  });
});

test("an empty variable and an undefined flag count as not given", () => {
  settings("port = 1001\n");
  expect(load({ POLYGYM_PORT: "" }, { port: undefined })).toMatchObject({ port: 1001 });
});

test("every wrong setting is named with its source", () => {
  settings('workers = 0\nprot = 1\nhost = ""\n');
  const broken = () => load({ POLYGYM_PORT: "70000" });
  expect(broken).toThrow(ConfigError);
  for (const part of ["POLYGYM_PORT", "polygym.toml: workers", "polygym.toml: host", "prot is no setting"])
    expect(broken).toThrow(part);
});

test("the store is the home folder's, or a PostgreSQL that was named, for our own processes too", () => {
  expect(load()).toMatchObject({ storeUrl: null, blobs: null });
  const url = "postgres://gym@db/polygym";
  expect(load({ POLYGYM_STORE: url, POLYGYM_BLOBS: "/shared" })).toMatchObject({
    storeUrl: url,
    blobs: { kind: "folder", dir: "/shared" },
  });
  expect(processEnvironment(load({}, { storeUrl: url }))).toMatchObject({ POLYGYM_STORE: url });
});

test("large blobs go to a bucket with its keys, for our own processes too", () => {
  const keys = { POLYGYM_S3_ACCESS_KEY: "key", POLYGYM_S3_SECRET_KEY: "very-secret" };
  const place = load({ ...keys, POLYGYM_BLOBS: "s3://gym/some/blobs/", POLYGYM_S3_ENDPOINT: "http://minio:9000/" });
  expect(place.blobs).toEqual({
    kind: "bucket",
    endpoint: "http://minio:9000/gym",
    region: "us-east-1",
    prefix: "some/blobs/",
    accessKey: "key",
    secretKey: "very-secret",
  });
  expect(load(processEnvironment(place)).blobs).toEqual(place.blobs);
  expect(load({ ...keys, POLYGYM_BLOBS: "s3://gym", POLYGYM_S3_REGION: "eu-north-1" }).blobs).toMatchObject({
    endpoint: "https://s3.eu-north-1.amazonaws.com/gym",
    prefix: "",
  });
  expect(() => load({ POLYGYM_BLOBS: "s3://gym" })).toThrow("POLYGYM_BLOBS: s3://gym needs POLYGYM_S3_ACCESS_KEY");
  expect(() => load({ ...keys, POLYGYM_BLOBS: "s3:gym" })).toThrow("must be a folder or s3://bucket/prefix");
  settings('s3_secret_key = "s"\n');
  expect(load).toThrow("s3_secret_key cannot be set in a file");
});

test("a store of another kind is refused without repeating what may be a password", () => {
  for (const broken of [
    () => load({ POLYGYM_STORE: "mysql://gym:very-secret@db" }),
    () => load({}, { storeUrl: "mysql://gym:very-secret@db" }),
  ]) {
    expect(broken).toThrow("must begin with postgres://");
    expect(broken).not.toThrow("very-secret");
  }
});

test("a secret in the file is refused", () => {
  settings('token = "s"\n');
  expect(load).toThrow("token cannot be set in a file");
});

test("a file that is no TOML is refused with its name", () => {
  settings("port = = 1");
  expect(load).toThrow("polygym.toml");
});

test("the folder of the sockets is short, and differs by home", () => {
  const { runDir } = load();
  expect(`${runDir}/a-long-name-of-a-sandbox-socket.sock`.length).toBeLessThan(107);
  expect(runDir).not.toBe(loadConfig({ POLYGYM_HOME: `${home}x` }).runDir);
  expect(runDir).toBe(load().runDir);
});

test("a process has a fresh id of its kind unless it was given one", () => {
  expect(load({}, { kind: "worker" }).processId).toMatch(/^worker_/);
  expect(load().processId).not.toBe(load().processId);
  expect(load({ POLYGYM_PROCESS_ID: "worker_x" }).processId).toBe("worker_x");
});
