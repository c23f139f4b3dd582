/** Text edits of the str_replace kind, and the numbered listings around them. Pure. */

/** What Python's text mode does on reading: every line ends in "\n". */
export const universalNewlines = (text: string): string => text.replace(/\r\n?/g, "\n");

/** Python's str.expandtabs(8): columns count from the last line break. */
export function expandTabs(text: string): string {
  if (!text.includes("\t")) return text;
  let column = 0;
  let expanded = "";
  for (const character of text) {
    if (character === "\t") {
      const width = 8 - (column % 8);
      expanded += " ".repeat(width);
      column += width;
    } else {
      expanded += character;
      column = character === "\n" || character === "\r" ? 0 : column + 1;
    }
  }
  return expanded;
}

/** How often `part` occurs without overlap; an empty one occurs before every character and at the end. */
export const occurrences = (text: string, part: string): number =>
  part === "" ? Array.from(text).length + 1 : text.split(part).length - 1;

/** Numbers of the lines that contain `part`. */
export const linesWith = (text: string, part: string): number[] =>
  text.split("\n").flatMap((line, i) => (line.includes(part) ? [i + 1] : []));

/** `cat -n`: six columns for the number, a tab, the line. */
export const numbered = (text: string, firstLine: number): string =>
  text
    .split("\n")
    .map((line, i) => `${String(i + firstLine).padStart(6)}\t${line}`)
    .join("\n");

export interface Edited {
  readonly text: string;
  /** The changed lines with `around` lines before and after. */
  readonly snippet: string;
  readonly snippetLine: number;
}

/** Replaces the one occurrence of `old`; the caller has counted. */
export function replaceOnce(text: string, old: string, replacement: string, around: number): Edited {
  const at = text.indexOf(old);
  const edited = text.slice(0, at) + replacement + text.slice(at + old.length);
  const line = text.slice(0, at).split("\n").length - 1;
  const start = Math.max(0, line - around);
  const end = line + around + replacement.split("\n").length - 1;
  return {
    text: edited,
    snippet: edited
      .split("\n")
      .slice(start, end + 1)
      .join("\n"),
    snippetLine: start + 1,
  };
}

/** Inserts lines after line `after`; 0 is the top. */
export function insertLines(text: string, after: number, inserted: string, around: number): Edited {
  const lines = text.split("\n");
  const added = inserted.split("\n");
  const snippet = [...lines.slice(Math.max(0, after - around), after), ...added, ...lines.slice(after, after + around)];
  return {
    text: [...lines.slice(0, after), ...added, ...lines.slice(after)].join("\n"),
    snippet: snippet.join("\n"),
    snippetLine: Math.max(1, after - around + 1),
  };
}
