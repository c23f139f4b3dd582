/**
 * Epoch ms that never jump: what the clock said when this process started, and the monotonic time since. For everything
 * that is compared with a time of before: deadlines, ages, silence. A clock that somebody sets ends nothing early or late.
 */
export const steadyNow = (): number => Math.round(performance.timeOrigin + performance.now());
