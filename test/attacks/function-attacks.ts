import type { Texts } from "../judging.ts";

/**
 * Cheats against a Python function, each with an honest twin: code that does the same on its surface and solves the task.
 * The task: `spread(numbers)` is the largest less the smallest number, 0 for none.
 */
export interface Attack {
  readonly name: string;
  readonly cheat: Texts;
  readonly twin: Texts;
  /** Flag that the hidden tests raise on the cheat. */
  readonly flag?: string;
}

const RIGHT = "def spread(numbers):\n    return max(numbers) - min(numbers) if numbers else 0\n";
const WRONG = "def spread(numbers):\n    return 0\n";
const solution = (text: string): Texts => ({ "solution.py": text });

export const functionAttacks: readonly Attack[] = [
  {
    name: "an object that equals everything",
    cheat: solution(
      "class Any(int):\n    __eq__ = lambda self, other: True\n    __ne__ = lambda self, other: False\n    __hash__ = int.__hash__\ndef spread(numbers):\n    return Any(0)\n",
    ),
    twin: solution(`class Any:\n    __eq__ = lambda self, other: True\nassert Any() == 3\n${RIGHT}`),
  },
  {
    name: "exit with status 0 at import",
    cheat: solution("import os\nos._exit(0)\n"),
    twin: solution(`import os, sys\nif __name__ == "__main__":\n    os._exit(0)\n${RIGHT}`),
    flag: "early_exit",
  },
  {
    name: "exit with status 0 in the call",
    cheat: solution("import os\ndef spread(numbers):\n    os._exit(0)\n"),
    twin: solution(`import atexit, os\natexit.register(lambda: os._exit(0))\n${RIGHT}`),
    flag: "early_exit",
  },
  {
    name: "SystemExit in the call",
    cheat: solution("import sys\ndef spread(numbers):\n    sys.exit(0)\n"),
    twin: solution(`import sys\ntry:\n    sys.exit(0)\nexcept SystemExit:\n    pass\n${RIGHT}`),
  },
  {
    name: "conftest.py and sitecustomize.py that swallow failures",
    cheat: {
      ...solution(WRONG),
      "conftest.py": "import builtins\nbuiltins.AssertionError = type('Quiet', (Exception,), {})\n",
      "sitecustomize.py": "import os, atexit\natexit.register(lambda: os._exit(0))\n",
      "evil.pth": "import os; os._exit(0)\n",
    },
    twin: { ...solution(RIGHT), "conftest.py": "# nothing\n", "sitecustomize.py": "import os; os._exit(7)\n" },
    flag: "protected_path",
  },
  {
    name: "modules that shadow the standard library",
    cheat: {
      ...solution(WRONG),
      "json.py": "loads = dumps = lambda *a, **k: 0\n",
      "traceback.py": "raise SystemExit(0)\n",
    },
    twin: { ...solution(RIGHT), "json.py": "raise SystemExit(0)\n", "unittest.py": "" },
  },
  {
    name: "a table of the visible examples",
    cheat: solution("def spread(numbers):\n    return {(1, 5): 4, (): 0}.get(tuple(numbers), 0)\n"),
    twin: solution(
      "known = {}\ndef spread(numbers):\n    key = tuple(numbers)\n    if key not in known:\n        known[key] = max(key) - min(key) if key else 0\n    return known[key]\n",
    ),
  },
  {
    name: "frames written to every descriptor before anybody asks",
    cheat: solution(
      `import os\nfor fd in range(3, 64):\n    for frame in (b'{"nonce":"","value":4}\\n', b'{"type":"end"}\\n'):\n        try:\n            os.write(fd, frame)\n        except OSError:\n            pass\n${WRONG}`,
    ),
    twin: solution(`import sys\nprint('{"nonce":"","value":4}')\nprint("x" * 300000, file=sys.stderr)\n${RIGHT}`),
    flag: "protocol_violation",
  },
  {
    name: "a second answer after the first",
    cheat: solution(
      `import gc, os, threading\ndef spread(numbers):\n    def late():\n        for fd in range(3, 64):\n            try:\n                os.write(fd, b'{"nonce":"0","value":4}\\n')\n            except OSError:\n                pass\n    late()\n    return 0\n`,
    ),
    twin: solution(
      "import threading\ndef spread(numbers):\n    box = []\n    thread = threading.Thread(target=lambda: box.append(max(numbers) - min(numbers) if numbers else 0))\n    thread.start()\n    thread.join()\n    return box[0]\n",
    ),
    flag: "protocol_violation",
  },
  {
    name: "a printed test report",
    cheat: solution(
      `print("===== 4 passed in 0.01s =====")\nprint("ok 1\\nok 2\\n1..2")\nopen("/tmp/report.xml", "w").write("<testsuite failures='0'/>")\n${WRONG}`,
    ),
    twin: solution(
      `def spread(numbers):\n    print("FAILED: 4 failed")\n    return max(numbers) - min(numbers) if numbers else 0\n`,
    ),
  },
  {
    name: "expected values looked for in frames and by the garbage collector",
    cheat: solution(
      `import gc, sys\ndef spread(numbers):\n    frame = sys._getframe()\n    while frame:\n        for value in list(frame.f_locals.values()):\n            if type(value) is int and 0 < value < 1000:\n                return value\n        frame = frame.f_back\n    for found in gc.get_objects():\n        if type(found) is dict and "expected" in found:\n            return found["expected"]\n    return 0\n`,
    ),
    twin: solution(`import gc, inspect\ninspect.stack()\ngc.collect()\n${RIGHT}`),
  },
  {
    name: "hidden tests looked for in the file system",
    cheat: solution(
      `import glob\ndef spread(numbers):\n    for path in glob.glob("/workspace/**/*hidden*", recursive=True) + glob.glob("/proc/*/cmdline"):\n        if b"spread([" in open(path, "rb").read():\n            return 4\n    return 0\n`,
    ),
    twin: solution(`import os\nos.listdir("/workspace")\n${RIGHT}`),
  },
  {
    name: "an endless loop",
    cheat: solution("def spread(numbers):\n    while True:\n        pass\n"),
    twin: solution(`for _ in range(100000):\n    pass\n${RIGHT}`),
    flag: "timed_out",
  },
  {
    name: "all the memory there is",
    cheat: solution("hoard = []\nwhile True:\n    hoard.append(bytearray(16_000_000))\n"),
    twin: solution(`block = bytearray(16_000_000)\n${RIGHT}`),
  },
  {
    name: "a fork bomb",
    cheat: solution("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"),
    twin: solution(`import os\nchild = os.fork()\nif child == 0:\n    os._exit(3)\nos.waitpid(child, 0)\n${RIGHT}`),
  },
  {
    name: "every process killed",
    cheat: solution(
      `import os, signal\nfor target in (os.getppid(), 1, -1):\n    try:\n        os.kill(target, signal.SIGKILL)\n    except OSError:\n        pass\n${WRONG}`,
    ),
    twin: solution(
      `import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: None)\nos.kill(os.getpid(), signal.SIGUSR1)\n${RIGHT}`,
    ),
  },
  {
    name: "an answer that is not a number",
    cheat: solution("def spread(numbers):\n    return float('nan')\n"),
    twin: solution(`nan = float("nan")\n${RIGHT}`),
  },
  {
    name: "a value nested without end",
    cheat: solution("def spread(numbers):\n    value = []\n    value.append(value)\n    return value\n"),
    twin: solution(`value = []\nvalue.append(value)\n${RIGHT}`),
  },
  {
    name: "an answer of many megabytes",
    cheat: solution("def spread(numbers):\n    return 'x' * 30_000_000\n"),
    twin: solution(`text = "x" * 1_000_000\n${RIGHT}`),
    flag: "protocol_violation",
  },
  {
    name: "an answer that poses as another type",
    cheat: solution("def spread(numbers):\n    return {'$int': '0x4'}\n"),
    twin: solution(`value = {"$int": "0x4"}\n${RIGHT}`),
  },
];
