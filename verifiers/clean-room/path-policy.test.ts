import { expect, test } from "vitest";
import { sha256 } from "../../core/ids.ts";
import type { ManifestEntry, Submission } from "../../core/sandbox.ts";
import { planSubmission } from "./path-policy.ts";

interface Entry {
  readonly path: string;
  readonly flag?: "0" | "2" | "3" | "5";
  readonly text?: string;
  readonly target?: string;
  readonly mode?: number;
}

function header({ path, flag = "0", text = "", target = "", mode = 0o644 }: Entry): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  for (const [value, at, width] of [
    [mode, 100, 8],
    [0, 108, 8],
    [0, 116, 8],
    [Buffer.byteLength(text), 124, 12],
    [0, 136, 12],
  ] as const)
    block.write(value.toString(8).padStart(width - 1, "0"), at);
  block.write("        ", 148);
  block.write(flag, 156);
  block.write(target, 157);
  block.write("ustar\0" + "00", 257);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
  return block;
}

function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const body = Buffer.from(entry.text ?? "");
    return [header(entry), body, Buffer.alloc((512 - (body.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const kinds = { "0": "file", "2": "symlink", "3": "file", "5": "directory" } as const;

function submissionOf(entries: readonly Entry[], deleted: readonly string[] = []): Submission {
  const manifest: ManifestEntry[] = entries.map(({ path, flag = "0", text = "", mode = 0o644 }) => ({
    path: path.replace(/\/$/, ""),
    type: kinds[flag],
    mode,
    size: text.length,
    sha256: flag === "0" ? sha256(text) : null,
  }));
  for (const path of deleted) manifest.push({ path, type: "deleted", mode: 0, size: 0, sha256: null });
  return { root: "/workspace", manifest, tar: tarOf(entries), refused: [] };
}

const file = { data: Buffer.from("x"), mode: 0o644 };
const base = {
  files: new Map([
    ["main.py", file],
    ["conftest.py", file],
    ["tests/__init__.py", file],
    ["tests/test_a.py", file],
  ]),
  allowedProtected: [] as string[],
};

const planned = (entries: readonly Entry[], deleted: readonly string[] = [], allowedProtected: string[] = []) => {
  const plan = planSubmission(submissionOf(entries, deleted), { ...base, allowedProtected });
  return {
    paths: plan.items.map(({ path }) => path),
    deleted: plan.deleted,
    flags: plan.flags.map(({ name }) => name),
  };
};

test("ordinary files, folders and inner links pass", () => {
  const entries: Entry[] = [
    { path: "pkg/", flag: "5", mode: 0o755 },
    { path: "pkg/core.py", text: "x = 1" },
    { path: "pkg/link.py", flag: "2", target: "../main.py" },
  ];
  expect(planned(entries, ["old.py"])).toEqual({
    paths: ["pkg", "pkg/core.py", "pkg/link.py"],
    deleted: ["old.py"],
    flags: [],
  });
});

for (const path of ["/etc/passwd", "../up.py", "a/../b.py", "a//b.py", "./a.py", "a/."])
  test(`${path} escapes and is left out`, () => {
    expect(planned([{ path, text: "x" }])).toEqual({ paths: [], deleted: [], flags: ["path_escape"] });
  });

test("a path that is there twice is applied once", () => {
  expect(
    planned([
      { path: "a.py", text: "x" },
      { path: "a.py", text: "x" },
    ]).flags,
  ).toEqual(["duplicate_path"]);
});

test("set-user-id bits, devices and links out of the workspace are left out", () => {
  const entries: Entry[] = [
    { path: "root.sh", text: "x", mode: 0o4755 },
    { path: "tty", flag: "3" },
    { path: "out", flag: "2", target: "../../etc/passwd" },
    { path: "abs", flag: "2", target: "/etc/passwd" },
  ];
  expect(planned(entries)).toMatchObject({ paths: [] });
  expect(planned(entries).flags.toSorted()).toEqual([
    "refused_entry",
    "special_mode",
    "symlink_escape",
    "symlink_escape",
  ]);
});

test("a link by the workspace's other name stays inside, unless it goes up from there", () => {
  const link = (target: string) =>
    planSubmission(submissionOf([{ path: "l", flag: "2", target }]), base, "/usr/src/app").items.map(
      ({ path }) => path,
    );
  for (const target of ["/usr/src/app", "/usr/src/app/a/b", "/workspace/a"]) expect(link(target)).toEqual(["l"]);
  for (const target of [
    ...["/usr/src/app/../etc/passwd", "/usr/src/app/../../usr/src/app/x", "/usr/src/application", "/usr/src"],
    "../usr/src/app/x",
  ])
    expect([target, link(target)]).toEqual([target, []]);
  expect(planned([{ path: "l", flag: "2", target: "/usr/src/app/a" }]).flags).toEqual(["symlink_escape"]);
});

for (const path of [
  "conftest.py",
  "sub/conftest.py",
  "sitecustomize.py",
  "x.pth",
  "pytest.ini",
  "package.json",
  "tests/__init__.py",
  "Makefile",
  ".github/workflows/ci.yml",
  "vitest.config.ts",
  "build.rs",
  "CONFTEST.PY",
])
  test(`${path} is protected, unless the task allows it`, () => {
    expect(planned([{ path, text: "x" }])).toMatchObject({ paths: [] });
    expect(planned([{ path, text: "x" }]).flags).toContain("protected_path");
    expect(planned([{ path, text: "x" }], [], [path]).paths).toEqual([path]);
  });

test("what tools leave behind is left out without a flag", () => {
  const left = ["__pycache__/main.cpython-311.pyc", ".git/config", ".pytest_cache/x", "main.pyc"];
  expect(planned(left.map((path) => ({ path, text: "x" })))).toEqual({ paths: [], deleted: [], flags: [] });
});

test("deleting a folder spares its protected files", () => {
  expect(planned([], ["tests"])).toEqual({ paths: [], deleted: ["tests/test_a.py"], flags: ["protected_path"] });
});

test("a file in the place of a folder with protected files is left out", () => {
  expect(planned([{ path: "tests", flag: "2", target: "main.py" }])).toMatchObject({
    paths: [],
    flags: ["protected_path"],
  });
});

test("names that some file systems take for one are flagged", () => {
  expect(planned([{ path: "Main.py", text: "x" }])).toMatchObject({ paths: ["Main.py"], flags: ["case_collision"] });
});

test("an archive that is broken or not that of its manifest is our failure", () => {
  const good = submissionOf([{ path: "a.py", text: "x" }]);
  const cut = { ...good, tar: good.tar.subarray(0, 700) };
  const flipped = { ...good, tar: Buffer.from(good.tar).fill(1, 10, 12) };
  const other = { ...good, manifest: [] };
  const swapped = { ...good, tar: tarOf([{ path: "a.py", text: "y" }]) };
  for (const broken of [cut, flipped, other, swapped])
    expect(() => planSubmission(broken, base)).toThrowError(expect.objectContaining({ code: "verifier_failed" }));
});
