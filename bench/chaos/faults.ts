import type { Fault, NotInjected } from "./fault.ts";
import { clientFaults } from "./faults/clients.ts";
import { diskFaults } from "./faults/disk.ts";
import { loadFaults } from "./faults/load.ts";
import { processFaults } from "./faults/processes.ts";
import { redisFaults } from "./faults/redis.ts";

/** No fault: what fails here fails by itself. */
const clean: Fault = {
  row: 0,
  name: "clean",
  expect: "without a fault fewer than one in a thousand episodes fail by our doing",
  weight: 6,
  callsWithinMs: 2_000,
  inject: async () => ({ at: Date.now(), victims: [] }),
};

export const FAULTS: readonly Fault[] = [
  clean,
  ...processFaults,
  ...redisFaults,
  ...diskFaults,
  ...clientFaults,
  ...loadFaults,
].sort((a, b) => a.row - b.row);

export const NOT_INJECTED: readonly NotInjected[] = [
  {
    row: 7,
    name: "engine_killed",
    reason:
      "test/docker has an engine of its own, kills its containers and ends it; a workload of this size in containers does not fit beside it on two cores",
  },
  {
    row: 9,
    name: "agent_garbage",
    reason: "test/hostile/protocol.test.ts sends it, to one agent at a time",
  },
  {
    row: 10,
    name: "remount_read_only",
    reason:
      "the kernel refuses to remount while files are open for writing, as the store's are; a full disk fails the same calls",
  },
  {
    row: 13,
    name: "resume_on_another_server",
    reason: "`polygym up` has one server; test/two-hosts.test.ts and test/server/socket.test.ts attach after a cursor",
  },
];
