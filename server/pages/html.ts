/** Text of a page that is safe as it stands. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
/** Controls that could hide or reorder what is shown. */
const CONTROLS = /(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu;

const escapeText = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => escapes[c] ?? c).replace(CONTROLS, "\uFFFD");

type Part = Html | string | number | null | undefined | readonly Html[];

/** A template whose values are escaped, unless they are Html already. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((text, i) => text + show(parts[i])).join(""));
}

function show(part: Part): string {
  if (part === null || part === undefined) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "string" || typeof part === "number") return escapeText(String(part));
  return part.map((one) => one.text).join("");
}
