/** Cutting text to a number of characters, counted in code points as Python does: a cut never splits one. */

/** Index in UTF-16 units of the n-th code point; the text's length when it has fewer. */
function indexOfCodePoint(text: string, n: number): number {
  let index = 0;
  for (let count = 0; count < n && index < text.length; count++) {
    const code = text.codePointAt(index) ?? 0;
    index += code > 0xffff ? 2 : 1;
  }
  return index;
}

export function countCharacters(text: string): number {
  let count = 0;
  for (let index = 0; index < text.length; count++) {
    const code = text.codePointAt(index) ?? 0;
    index += code > 0xffff ? 2 : 1;
  }
  return count;
}

export interface Clipped {
  readonly text: string;
  readonly clipped: boolean;
}

/** The first `max` characters. */
export function clipHead(text: string, max: number): Clipped {
  if (text.length <= max) return { text, clipped: false };
  const end = indexOfCodePoint(text, max);
  return end >= text.length ? { text, clipped: false } : { text: text.slice(0, end), clipped: true };
}

/** The last `max` characters. */
export function clipTail(text: string, max: number): Clipped {
  if (text.length <= max) return { text, clipped: false };
  const count = countCharacters(text);
  return count <= max
    ? { text, clipped: false }
    : { text: text.slice(indexOfCodePoint(text, count - max)), clipped: true };
}

export interface Middle {
  readonly head: string;
  readonly tail: string;
  readonly elided: number;
}

/** First and last half of `max` characters; null when the text is shorter than `max`. */
export function clipMiddle(text: string, max: number): Middle | null {
  if (text.length < max) return null;
  const count = countCharacters(text);
  if (count < max) return null;
  const half = Math.floor(max / 2);
  return {
    head: text.slice(0, indexOfCodePoint(text, half)),
    tail: text.slice(indexOfCodePoint(text, count - half)),
    elided: count - 2 * half,
  };
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes as text; what is not UTF-8 becomes U+FFFD. */
export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes);

const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Bytes as text; null when they are not UTF-8. */
export function decodeStrict(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}
