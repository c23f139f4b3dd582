import { BlockList, isIP } from "node:net";

/**
 * Which hosts a task may reach: Harbor's `allowed_hosts`. A name means itself, `*.name` what is below it, an address or a
 * network (10.1.0.0/16) itself. Covers: names are compared without case and final dot; an address that a name stands for is
 * judged by {@link isPublic} too, so that an allowed name cannot be pointed into this machine or its networks.
 */
export interface AllowList {
  /** Of a host as a client wrote it. */
  allows(host: string): boolean;
  /** True when the list itself names this address: it may then be a private one. */
  names(address: string): boolean;
}

const NAME = /^(?:\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/** Throws a RangeError that names the entry which is none: a URL, a port or a path. */
export function allowListOf(entries: readonly string[]): AllowList {
  const names = new Set<string>();
  const suffixes: string[] = [];
  const networks = new BlockList();
  for (const entry of entries) {
    const text = plainName(entry);
    const [address = "", bits] = text.split("/");
    const family = isIP(address);
    if (family !== 0 && (bits === undefined || isPrefix(bits, family)))
      networks.addSubnet(address, bits === undefined ? (family === 4 ? 32 : 128) : Number(bits), kindOf(address));
    else if (!NAME.test(text))
      throw new RangeError(`an allowed host is a name, *.name, an address or a network: ${entry}`);
    else if (text.startsWith("*.")) suffixes.push(text.slice(1));
    else names.add(text);
  }
  const isListed = (address: string): boolean => isIP(address) !== 0 && networks.check(address, kindOf(address));
  return {
    allows: (host) => {
      const name = plainName(host);
      return names.has(name) || suffixes.some((suffix) => name.endsWith(suffix)) || isListed(name);
    },
    names: isListed,
  };
}

const plainName = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
const kindOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 4 ? "ipv4" : "ipv6");
const isPrefix = (bits: string, family: number): boolean =>
  /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);

/** Networks that are nobody's in the Internet: this machine, its neighbours, its cloud's own services (RFC 6890). */
const SPECIAL: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
  ["::", 128],
  ["::1", 128],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
];
const special = new BlockList();
for (const [address, bits] of SPECIAL) special.addSubnet(address, bits, kindOf(address));

/** False for anything that is no address, and for an IPv4 address in IPv6 clothes that is not public itself. */
export function isPublic(address: string): boolean {
  return isIP(address) !== 0 && !special.check(address, kindOf(address));
}
