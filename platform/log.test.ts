import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

test("log lines go to standard error, with the process on them and no secret in them", () => {
  const program = `
    import { openLog } from ${JSON.stringify(join(import.meta.dirname, "log.ts"))};
    const log = openLog({ level: "info", name: "server", processId: "server_x" });
    log.info({ token: "s3cret", headers: { authorization: "s3cret", cookie: "s3cret" }, request: { headers: { authorization: "s3cret" } } }, "hello");
    log.debug("unheard");
  `;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", program], { encoding: "utf8" });
  expect(run.stdout).toBe("");
  expect(JSON.parse(run.stderr)).toMatchObject({
    name: "server",
    process: "server_x",
    msg: "hello",
    token: "[secret]",
  });
  expect(run.stderr).not.toContain("s3cret");
});
