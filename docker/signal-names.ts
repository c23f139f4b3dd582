import { constants } from "node:os";

const names = new Map<number, string>(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** "SIGKILL" for 9; numbers without a name as "SIG34". */
export function signalName(number: number): string {
  return names.get(number) ?? `SIG${number}`;
}

/** 9 for "SIGKILL"; null for what is no signal's name. */
export function signalNumber(name: string): number | null {
  return [...names].find(([, known]) => known === name)?.[0] ?? null;
}
