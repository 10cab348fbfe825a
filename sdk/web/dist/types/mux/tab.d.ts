import type { ChannelKind } from './schedule.js';
/** Receives frames of a channel; without frames, a worker that started late may replace an HTTP stream. */
type OnFrames = (frames: readonly string[]) => void;
/** Receives the HTTP status of an ended channel, 0 after a network failure, and the `Retry-After` in seconds. */
type OnEnd = (status: number, wait: number) => void;
/**
 * Opens a transport over the worker and returns the function that closes the channel. A transport that was `early` has
 * its own connection already, and only its move to the worker is reported.
 */
export declare function openChannel(url: string, kind: ChannelKind, body: string, onFrames: OnFrames, onEnd: OnEnd, openDirectly: () => void, early: boolean): () => void;
export {};
