export type OutputRule = "tokens" | "exact";

/** Null when the outputs agree, else how they differ, without telling the expected one. */
export function compareOutput(actual: string, expected: string, rule: OutputRule): string | null {
  if (rule === "exact")
    return withoutLastNewline(actual) === withoutLastNewline(expected) ? null : firstLine(actual, expected);
  const [got, due] = [tokensOf(actual), tokensOf(expected)];
  // Counts first: an output of all answers, or of none, must not pass by its beginning.
  if (got.length !== due.length) return `${got.length} tokens where ${due.length} are due`;
  const wrong = got.findIndex((token, i) => token !== due[i]);
  return wrong < 0 ? null : `token ${wrong + 1} is wrong`;
}

/** Only blanks that ASCII knows: exotic ones are part of a token. */
const tokensOf = (text: string): string[] => text.split(/[ \t\r\n\f\v]+/).filter((token) => token !== "");

const withoutLastNewline = (text: string): string => (text.endsWith("\n") ? text.slice(0, -1) : text);

function firstLine(actual: string, expected: string): string {
  const [got, due] = [actual.split("\n"), expected.split("\n")];
  const wrong = due.findIndex((line, i) => line !== got[i]);
  return `line ${wrong < 0 ? due.length + 1 : wrong + 1} is wrong`;
}
