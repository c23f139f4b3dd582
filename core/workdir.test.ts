import { expect, test } from "vitest";
import { otherName, workdirMisfit } from "./workdir.ts";

test.each([
  ...["/app", "/app/", "/testbed", "/repo", "/go", "/srv", "/opt/x", "/root/project", "/home/user", "/home/user/app"],
  ...["/usr/src/app", "/usr/app", "/var/www", "/var/www/html", "/a/b/c/d", "/library", "/etcetera"],
])("%s can be another name of the workspace", (folder) => {
  expect(workdirMisfit(folder)).toBeNull();
  expect(otherName(folder)).toBe(folder.replace(/\/$/, ""));
});

test.each([
  ...[
    "/etc",
    "/etc/app",
    "/usr",
    "/usr/src",
    "/usr/bin",
    "/usr/lib/app",
    "/usr/local/bin",
    "/bin/x",
    "/proc/self/fd/7",
  ],
  ...["/sys", "/dev/shm", "/lib64", "/boot", "/var", "/var/lib/app", "/tmp", "/tmp/app", "/run/x", "/home", "/opt"],
  ...["/.polygym", "/.polygym/socket"],
])("%s is the system's", (folder) => {
  expect(workdirMisfit(folder)).toMatch(/is the system's: use a folder of the project's own, such as \/app$/);
});

test.each([
  "app",
  "./app",
  "/app/../etc",
  "/workspace/../etc",
  "/app/.",
  "/a b",
  "/a\nb",
  "/a'b",
  "/$X",
  `/${"x".repeat(200)}`,
])("%j is no plain path", (folder) => {
  expect(workdirMisfit(folder)).toMatch(/^must be an absolute path/);
});

test.each(["/root", "/root/", "/root/.config/app"])("%s would set programs up", (folder) => {
  expect(workdirMisfit(folder)).toMatch(/set programs up.* such as \/root\/project$/);
});

test.each([null, undefined, "", "/", "//", "/workspace", "/workspace/", "/workspace/repo"])(
  "%j gives the workspace no other name",
  (folder) => {
    expect(otherName(folder)).toBeNull();
    expect(workdirMisfit(folder ?? "")).toBeNull();
  },
);
