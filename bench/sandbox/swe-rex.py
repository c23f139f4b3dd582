"""Measures SWE-ReX's local runtime in its own process, so that nothing of ours is in the numbers.

Prints one JSON line per operation: {"operation", "parallel", "samples_ms", "errors", "first_error", "wall_ms", "cpu_ms"}.
"""

import asyncio
import json
import sys
import tempfile
import time

from swerex.deployment.local import LocalDeployment
from swerex.runtime.abstract import (
    BashAction,
    CloseBashSessionRequest,
    CreateBashSessionRequest,
    ReadFileRequest,
    WriteFileRequest,
)

BUDGET_S = float(sys.argv[1])
SHARE = float(sys.argv[2])


async def measure(operation, count, work):
    samples, errors, first_error = [], 0, None
    cpu, begun = time.process_time(), time.perf_counter()
    for index in range(max(2, round(count * SHARE))):
        if index > 0 and time.perf_counter() - begun > BUDGET_S:
            break
        try:
            samples.append(await work(index))
        except Exception as error:
            errors += 1
            first_error = first_error or repr(error)[:300]
    row = {
        "operation": operation,
        "parallel": 1,
        "samples_ms": samples,
        "errors": errors,
        "first_error": first_error,
        "wall_ms": (time.perf_counter() - begun) * 1000,
        "cpu_ms": (time.process_time() - cpu) * 1000,
    }
    print(json.dumps(row), flush=True)


async def main():
    deployment = LocalDeployment()
    await deployment.start()
    runtime = deployment.runtime

    async def say(session, command, wanted):
        seen = await runtime.run_in_session(BashAction(session=session, command=command))
        if seen.exit_code != 0 or seen.output.strip() != wanted:
            raise RuntimeError(f"{command[:40]}: {seen.exit_code} {seen.output[:80]!r}")

    async def opened(session):
        await runtime.create_session(CreateBashSessionRequest(session=session))

    async def closed(session):
        await runtime.close_session(CloseBashSessionRequest(session=session))

    async def create(index):
        begun = time.perf_counter()
        await opened(f"create-{index}")
        took = (time.perf_counter() - begun) * 1000
        await say(f"create-{index}", "echo hi", "hi")
        await closed(f"create-{index}")
        return took

    async def run(command, wanted):
        begun = time.perf_counter()
        await say("main", command, wanted)
        return (time.perf_counter() - begun) * 1000

    async def episode(index):
        begun = time.perf_counter()
        await opened(f"episode-{index}")
        for step in range(20):
            await say(f"episode-{index}", f"echo step {step}", f"step {step}")
        await closed(f"episode-{index}")
        return (time.perf_counter() - begun) * 1000

    async def round_trip(path, size):
        content = "x" * size
        begun = time.perf_counter()
        await runtime.write_file(WriteFileRequest(path=path, content=content))
        seen = await runtime.read_file(ReadFileRequest(path=path))
        if seen.content != content:
            raise RuntimeError("the file is not what was written")
        return (time.perf_counter() - begun) * 1000

    await opened("main")
    await measure("create", 20, create)
    await measure("exec_true", 40, lambda _: run("/bin/true", ""))
    await measure("exec_bash", 40, lambda _: run("bash -c true", ""))
    await measure("exec_python", 20, lambda _: run("/usr/bin/python3 -c 'print(6 * 7)'", "42"))
    await measure("builtin", 40, lambda _: run("echo hi", "hi"))
    await measure("command_10k", 20, lambda _: run(": '" + "x" * 10_000 + "'; echo ok", "ok"))
    with tempfile.TemporaryDirectory() as folder:
        await measure("file_10k", 40, lambda _: round_trip(f"{folder}/small", 10_000))
        await measure("file_1m", 20, lambda _: round_trip(f"{folder}/large", 1_000_000))
    await measure("episode_20", 3, episode)
    await closed("main")
    await deployment.stop()


asyncio.run(main())
