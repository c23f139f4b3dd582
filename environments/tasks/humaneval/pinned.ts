export interface PinnedInputs {
  /** One JSON text per call: the array of arguments. */
  readonly calls: readonly string[];
  /** For answers that are only asked for to some digits. (Default: 1e-6) */
  readonly tolerance?: number;
}

/**
 * Problems whose recorded arguments cannot be varied: nearly every variation is outside of what the reference solution
 * accepts, or has several right answers. Their inputs are these, as JSON texts (read by Python, so that 1.0 is a float).
 */
export const pinnedArguments: ReadonlyMap<string, PinnedInputs> = new Map([
  // Only the notes "o", "o|" and ".|" are music, between single spaces.
  [
    "HumanEval/17",
    {
      calls: [
        '["o"]',
        '[".|"]',
        '["o|"]',
        '["o o| .|"]',
        '[".| .| o| o| o"]',
        '["o| o o o .| .|"]',
        '["o| .| o| .| o o| o o|"]',
      ],
    },
  ],
  // Only the names of the numbers from zero to nine are numbers.
  [
    "HumanEval/19",
    {
      calls: [
        '["nine"]',
        '["two one"]',
        '["zero nine five"]',
        '["four four one zero"]',
        '["eight seven six five four three two one zero"]',
        '["three eight three two nine eight"]',
        '["six zero seven two"]',
      ],
    },
  ],
  // The reference solution takes minutes from the twelfth one on.
  ["HumanEval/39", { calls: ["[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]", "[8]", "[9]", "[10]", "[11]"] }],
  // A polynomial has one answer to compare only when it has one real root.
  [
    "HumanEval/32",
    {
      calls: [
        "[[1, 2]]",
        "[[-6, 3]]",
        "[[5, -2]]",
        "[[0, 7]]",
        "[[-8, 0, 0, 1]]",
        "[[27, 0, 0, 1]]",
        "[[10, 3, 0, 2]]",
        "[[-4, 1, 0, 5]]",
      ],
      tolerance: 1e-4,
    },
  ],
  // The twelfth prime Fibonacci number takes the reference minutes, and it never returns for 0 or less.
  ["HumanEval/39", { calls: ["[11]", "[3]", "[8]", "[1]", "[10]", "[6]", "[4]", "[9]", "[2]", "[7]", "[5]"] }],
]);
