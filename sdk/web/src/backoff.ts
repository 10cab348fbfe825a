/**
 * How long to wait before the next attempt: full jitter, so that clients that lost one server do
 * not come back together. No clock, no randomness of its own. Used by the stream machine.
 */

/** The shortest wait in ms: a dead server is asked at most ten times a second. */
export const MIN_DELAY = 100;
/** The longest wait in ms: a recovered server is found within five seconds. */
export const MAX_DELAY = 5000;

/** The wait in ms before attempt `attempt` (from 0); `random` is uniform in [0, 1). */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** Math.min(attempt + 1, 10));
  return MIN_DELAY + random * (ceiling - MIN_DELAY);
}
