/**
 * How long to wait before the next attempt: full jitter, so that clients that lost one server do
 * not come back together. No clock, no randomness of its own. Used by the stream machine.
 */
/** The shortest wait in ms: a dead server is asked at most ten times a second. */
export declare const MIN_DELAY = 100;
/** The longest wait in ms: a recovered server is found within five seconds. */
export declare const MAX_DELAY = 5000;
/** The wait in ms before attempt `attempt` (from 0); `random` is uniform in [0, 1). */
export declare function backoff(attempt: number, random: number): number;
