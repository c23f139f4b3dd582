import type { Json } from "../../core/json.ts";
import { floatOf, tagOf } from "../calls/typed-value.ts";
import type { Random } from "./random.ts";

/** Characters for changed text, beside those that the recorded text has. */
const SPICE = "aZ09 _-.,([{\n";
const MAX_LIST = 200;

/** Changes typed values by their type: what was a list of numbers is one after it too, so that gold takes many of them. */
export class Mutator {
  readonly #random: Random;
  readonly #alphabet: readonly string[];

  constructor(random: Random, recorded: readonly Json[]) {
    this.#random = random;
    const found = [...new Set(recorded.flatMap((value) => textsIn(value)).join(""))].slice(0, 200);
    this.#alphabet = found.length > 0 ? found : Array.from(SPICE);
  }

  /** A changed copy of a call's arguments. */
  mutate(args: readonly Json[]): Json[] {
    const changed = [...args];
    const times = 1 + this.#random.below(3);
    for (let i = 0; i < times && changed.length > 0; i++) {
      const at = this.#random.below(changed.length);
      changed[at] = this.#value(changed[at] ?? null);
    }
    return changed;
  }

  #value(value: Json): Json {
    if (typeof value === "boolean") return this.#random.chance(0.7) ? !value : value;
    if (typeof value === "number") return this.#int(value);
    if (typeof value === "string") return this.#text(value);
    if (Array.isArray(value)) return this.#list(value);
    if (value === null) return null;
    const tagged = tagOf(value);
    return tagged === null ? this.#object(value) : this.#tagged(tagged.tag, tagged.body);
  }

  #int(value: number): number {
    const { below, pick } = this.#random;
    const near = [
      value + 1,
      value - 1,
      value + below(21) - 10,
      value + below(7) - 3,
      Math.trunc(value / 2),
      -value,
      0,
      1,
    ] as const;
    const far = [value * 2, below(101) - 20] as const;
    const drawn = this.#random.chance(0.85) ? pick(near) : pick(far);
    return Number.isSafeInteger(drawn) ? drawn : value;
  }

  #text(value: string): string {
    const { below, chance } = this.#random;
    const parts = Array.from(value);
    const at = below(parts.length + 1);
    const fresh = () =>
      (chance(0.9) ? this.#alphabet[below(this.#alphabet.length)] : SPICE[below(SPICE.length)]) ?? "a";
    switch (below(6)) {
      case 0:
        return parts.toSpliced(at, 1).join("");
      case 1:
        return parts.toSpliced(at, 0, fresh()).join("");
      case 2:
        return parts.toSpliced(at, 1, fresh()).join("");
      case 3:
        return parts.toReversed().join("");
      case 4:
        return (value + parts.slice(0, at).join("")).slice(0, 10_000);
      default:
        return parts.slice(0, at).join("");
    }
  }

  #list(value: readonly Json[]): Json[] {
    const { below } = this.#random;
    if (value.length === 0) return [];
    const at = below(value.length);
    const part = value[at] ?? null;
    switch (below(7)) {
      case 0:
        return value.toSpliced(at, 1);
      case 1:
        return value.length < MAX_LIST ? value.toSpliced(at, 0, part) : [...value];
      case 2:
        return value.length < MAX_LIST ? [...value, this.#value(part)] : [...value];
      case 3:
        return value.toReversed();
      default:
        return value.toSpliced(at, 1, this.#value(part));
    }
  }

  #object(value: { [key: string]: Json }): Json {
    const entries = Object.entries(value);
    const at = this.#random.below(entries.length);
    const drop = entries.length > 1 && this.#random.chance(0.15);
    return Object.fromEntries(
      entries.flatMap(([key, part], i) => (i !== at ? [[key, part]] : drop ? [] : [[key, this.#value(part)]])),
    );
  }

  #tagged(tag: string, body: Json): Json {
    if (tag === "$float" && typeof body === "string") return { $float: this.#float(floatOf(body)) };
    if (tag === "$tuple" && Array.isArray(body)) return { $tuple: this.#samePlaces(body) };
    if ((tag === "$set" || tag === "$frozenset") && Array.isArray(body)) return { [tag]: distinct(this.#list(body)) };
    if ((tag === "$dict" || tag === "$map") && Array.isArray(body))
      return { [tag]: body.map((pair) => this.#pair(pair)) };
    return { [tag]: body };
  }

  /** Tuples are records more often than lists: their length stays. */
  #samePlaces(parts: readonly Json[]): Json[] {
    const at = this.#random.below(parts.length);
    return parts.map((part, i) => (i === at ? this.#value(part) : part));
  }

  #pair(pair: Json): Json {
    if (!Array.isArray(pair) || !this.#random.chance(0.5)) return pair;
    return [pair[0] ?? null, this.#value(pair[1] ?? null)];
  }

  #float(value: number): string {
    const { below, pick } = this.#random;
    const cents = (below(2001) - 1000) / 100;
    const drawn = pick([value + cents, -value, value * 2, value / 2, cents, Math.round(value), 0] as const);
    const text = String(Number.isFinite(drawn) ? drawn : value)
      .replace("Infinity", "inf")
      .replace("NaN", "nan");
    return /^-?\d+$/.test(text) ? `${text}.0` : text;
  }
}

function distinct(parts: readonly Json[]): Json[] {
  return [...new Map(parts.map((part) => [JSON.stringify(part), part])).values()];
}

function textsIn(value: Json): string[] {
  if (typeof value === "string") return [value];
  if (value === null || typeof value !== "object") return [];
  const tagged = tagOf(value);
  if (tagged !== null && typeof tagged.body === "string") return [];
  return (Array.isArray(value) ? value : Object.values(value)).flatMap((part) => textsIn(part));
}
