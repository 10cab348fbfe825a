import type { ChannelKind } from './schedule.js';
/**
 * Receives frames of a channel, or its end: the HTTP status, 0 after a network failure, -1 after the death of the worker,
 * and the `Retry-After` in seconds. Neither: a worker that started late may replace an HTTP stream.
 */
type Report = (frames: readonly string[], status?: number, wait?: number) => void;
/**
 * Opens a transport over the worker and returns the function that closes the channel. A transport that was `early` has
 * its own connection already, and only its move to the worker is reported.
 */
export declare function openChannel(url: string, kind: ChannelKind, body: string, report: Report, openDirectly: () => void, early: boolean): () => void;
export {};
