import { expect, test } from "vitest";
import { allowListOf, isPublic } from "./allow-list.ts";

test("a name allows itself, a star what is below it, and neither its neighbours", () => {
  const list = allowListOf(["packages.example", "*.files.test", "10.1.0.0/16", "2001:db8::7"]);
  const asked = [
    "packages.example",
    "Packages.Example.",
    "evil-packages.example",
    "packages.example.evil.test",
    "a.files.test",
  ];
  expect(asked.map(list.allows)).toEqual([true, true, false, false, true]);
  expect(["files.test", "xfiles.test", "a.b.files.test"].map(list.allows)).toEqual([false, false, true]);
  expect(["10.1.255.1", "10.2.0.1", "[2001:db8::7]", "2001:db8::8"].map(list.allows)).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect(list.names("10.1.2.3")).toBe(true);
});

test("a URL, a port, a path and a star elsewhere are no hosts", () => {
  for (const entry of [
    "https://packages.example",
    "packages.example:443",
    "packages.example/simple",
    "py*.org",
    "*",
    "",
    "10.0.0.0/33",
    "a b",
  ])
    expect(() => allowListOf([entry]), entry).toThrow("an allowed host is");
});

test("addresses of this machine and its networks are not public, however they are written", () => {
  for (const address of [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "64:ff9b::a00:1",
    "fd00:ec2::254",
    "fe80::1",
    "2002:7f00:1::",
    "localhost",
    "0x7f.1",
    "2130706433",
  ])
    expect(isPublic(address), address).toBe(false);
  for (const address of ["8.8.8.8", "172.32.0.1", "2606:4700::1111"]) expect(isPublic(address), address).toBe(true);
});
