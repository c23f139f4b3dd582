import { expect, test } from "vitest";
import { pathInside, workspaceName } from "./workspace-path.ts";

const plain = { workspace: "/workspace", alias: null };
const named = { workspace: "/workspace", alias: "/app" };

test.each([
  ["main.py", "main.py"],
  ["./a/../main.py", "main.py"],
  ["/workspace/a/main.py", "a/main.py"],
  ["/app/a/main.py", "a/main.py"],
  ["/app/./main.py", "main.py"],
  ["../app/main.py", "main.py"],
])("%s is the same file by either name of the workspace", (path, inside) => {
  expect(pathInside(named, path)).toBe(inside);
});

test.each([
  "/app",
  "/app/",
  "/workspace",
  "/app/../etc/passwd",
  "/application/main.py",
  "/etc/passwd",
  "..",
  "/app/\0",
])("%j is not below the workspace", (path) => {
  expect(pathInside(named, path)).toBeNull();
});

test("a folder is no other name unless it is said to be", () => {
  expect(pathInside(plain, "/app/main.py")).toBeNull();
  expect(workspaceName(plain)).toBe("/workspace");
  expect(workspaceName(named)).toBe("/workspace (/app is the same folder)");
});
