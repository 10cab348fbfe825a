/**
 * Exponential back-off with full jitter, which spreads the reconnects of clients that lost the same server. Pure:
 * the caller passes the random number. Used by the stream machine.
 */

/** Shortest delay in ms: at most ten attempts per second reach a dead server. */
export const MIN_DELAY = 100;
/** Longest delay in ms: clients find a recovered server within five seconds. */
export const MAX_DELAY = 5000;

/** Returns the delay in ms before attempt `attempt` (counted from 0); `random` is uniform in [0, 1). */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** Math.min(attempt + 1, 10));
  return MIN_DELAY + random * (ceiling - MIN_DELAY);
}
