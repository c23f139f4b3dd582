import { taskOf } from "../judging.ts";

const hidden = `from solution import spread


def test_two():
    assert spread([1, 5]) == 4


def test_many():
    assert spread([7, -3, 12, 5]) == 15
    assert spread([-8, -2]) == 6


def test_one_and_none():
    assert spread([9]) == 0
    assert spread([]) == 0
`;

/** The task that the function attacks are made against. */
export const spreadTask = (callTimeoutS: number) => {
  const target = { entry: "solution.py", functions: ["spread"], call_timeout_s: callTimeoutS };
  return taskOf({
    kind: "function",
    language: "python",
    files: { "solution.py": "def spread(numbers):\n    raise NotImplementedError\n" },
    gold: { "solution.py": "def spread(numbers):\n    return max(numbers) - min(numbers) if numbers else 0\n" },
    verifiers: {
      tests: {
        files: {
          "test_hidden.py": hidden,
          "expected.json": JSON.stringify(
            ["two", "many", "one_and_none"].map((name) => `test_hidden.py::test_${name}`),
          ),
        },
        config: { mode: "proxied", ...target },
      },
      differential: {
        files: { "test_hidden.py": hidden },
        config: { ...target, inputs: { from: "tests", count: 15 } },
      },
    },
  });
};
