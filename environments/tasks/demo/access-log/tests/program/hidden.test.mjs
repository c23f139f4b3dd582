import assert from "node:assert/strict";
import { run } from "./program.js";

const report = async (lines, ...args) => {
  const { exitCode, stdout } = await run(args, { stdin: lines.map((line) => `${line}\n`).join("") });
  assert.equal(exitCode, 0);
  return stdout.trimEnd().split("\n");
};

export async function test_head_of_the_report() {
  const lines = ["t GET /a 200 5", "junk", "t PUT /b 500 50", "t GET /c 502 49"];
  assert.deepEqual((await report(lines)).slice(0, 4), ["requests 3", "skipped 1", "errors 2", "slowest 50 PUT /b"]);
}

export async function test_first_of_the_slowest() {
  assert.equal((await report(["t GET /b/1 200 0", "t PUT /a 200 0"]))[3], "slowest 0 GET /b/N");
}

export async function test_most_requests_first_then_byte_order() {
  const lines = ["/b", "/B", "/a", "/_", "/b", "/10", "/9", "/z"].map((path) => `t GET ${path} 200 1`);
  assert.deepEqual((await report(lines)).slice(4), ["2 /N", "2 /b", "1 /B", "1 /_", "1 /a", "1 /z"]);
}

export async function test_counts_of_two_digits() {
  const lines = Array.from({ length: 12 }, (_, index) => `t GET ${index < 10 ? "/x" : "/w/y"} 200 1`);
  assert.deepEqual((await report(lines)).slice(4), ["10 /x", "2 /w/y"]);
}

export async function test_other_methods_are_not_skipped_lines() {
  const lines = ["t GET /a 200 5", "t PUT /b 500 50", "junk"];
  assert.deepEqual(await report(lines, "--method", "GET", "--top", "1"), [
    "requests 1",
    "skipped 1",
    "errors 0",
    "slowest 5 GET /a",
    "1 /a",
  ]);
}

export async function test_no_requests() {
  assert.deepEqual(await report([]), ["requests 0", "skipped 0", "errors 0", "slowest none"]);
}

export async function test_special_characters_are_data() {
  const lines = ["t GET /* 200 1", "t GET /$HOME/`id` 200 1", "t GET /%s\\n 200 1"];
  assert.deepEqual((await report(lines)).slice(4), ["1 /$HOME/`id`", "1 /%s\\n", "1 /*"]);
}

export async function test_usage() {
  for (const args of [["-x"], ["--top"], ["--method", "GET", "more"]]) {
    const { exitCode, stdout, stderr } = await run(args, { stdin: "t GET /a 200 1\n" });
    assert.deepEqual([exitCode, stdout], [2, ""]);
    assert.match(stderr, /^usage: report\.sh \[--method NAME\] \[--top K\]\n$/);
  }
}
