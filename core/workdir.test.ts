import { expect, test } from "vitest";
import { imageName, otherName, workdirMisfit } from "./workdir.ts";

test.each([
  ...[
    "/app",
    "/app/",
    "/testbed",
    "/repo",
    "/go/src/app",
    "/srv",
    "/opt/x",
    "/root/project",
    "/home/user",
    "/home/user/app",
  ],
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

test.each(["/go", "/go/", "/usr/local/go"])(
  "%s is a toolchain's: as WORKDIR of an image it gives no name",
  (folder) => {
    expect(imageName(folder)).toBeNull();
    expect(workdirMisfit(folder)).toMatch(/is a toolchain's own: use a folder of the project's, such as \/app$/);
  },
);

test("every other WORKDIR of an image gives the workspace its name", () => {
  expect(["/app", "/go/src/app", "/workspace", undefined].map(imageName)).toEqual(["/app", "/go/src/app", null, null]);
});

test.each([null, undefined, "", "/", "//", "/workspace", "/workspace/", "/workspace/repo"])(
  "%j gives the workspace no other name",
  (folder) => {
    expect(otherName(folder)).toBeNull();
    expect(workdirMisfit(folder ?? "")).toBeNull();
  },
);
