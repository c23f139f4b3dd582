/** A step that takes longer than this shows as `running` in the store: few writes per episode. */
const SLOW_STEP_MS = 100;

/** Calls `mark` when a step that began at `started` turns out slow. `stop` says whether it did, once it has. */
export function markWhenSlow(
  started: number,
  mark: () => Promise<void>,
  onError: (error: unknown) => void,
): { stop(): Promise<boolean> } {
  let marked: Promise<void> | null = null;
  const begin = () => {
    marked = mark();
    marked.catch(onError);
  };
  const timer = setTimeout(begin, Math.max(0, SLOW_STEP_MS - (performance.now() - started)));
  return {
    stop: async () => {
      clearTimeout(timer);
      await marked;
      return marked !== null;
    },
  };
}
