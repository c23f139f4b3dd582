import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    exclude: ["**/node_modules/**", ".polygym/**", "environments/tasks/*/*/{environment,tests,solution,cheats}/**"],
    pool: "forks",
    // Tests run real servers, Redis and sandboxes: more files at once than two cores carry makes deadlines, not speed.
    maxWorkers: 2,
    // Deadlines for a loaded machine. A test that waits for an event has its own, shorter one.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    globalSetup: ["test/global-setup.ts"],
    restoreMocks: true,
    unstubEnvs: true,
    unstubGlobals: true,
  },
});
