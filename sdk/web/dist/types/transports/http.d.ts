/**
 * HTTP transports: a POST of frames whose response frames are reported as they arrive (HTTP stream) or together at the
 * end (long-poll, upload). Used by the driver.
 */
import type { OutFrame } from '../frames.js';
import type { TransportOutcome, Version } from '../stream/types.js';
import type { Listener, TransportHandle } from './transport.js';
/** Posts frames of a version; with `buffered`, the listener receives the whole response at once. */
export declare function openHttp(url: string, version: Version, frames: readonly OutFrame[], listener: Listener, buffered: boolean, credentials: RequestCredentials): TransportHandle;
/** Outcome of a request that was answered with another status than 200. */
export declare function outcomeOf(status: number): TransportOutcome;
/** Builds a POST of frames of a version. With `keepalive`, the request outlives the page; browsers limit the size. */
export declare function request(version: Version, frames: readonly OutFrame[], credentials: RequestCredentials, keepalive?: boolean): RequestInit;
