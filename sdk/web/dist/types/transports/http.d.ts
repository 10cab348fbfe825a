import type { TransportOutcome } from '../stream/types.js';
import type { Listener, TransportHandle } from './transport.js';
/** Posts `frames`; with `buffered`, the listener receives the whole response at once. */
export declare function openHttp(url: string, frames: readonly string[], listener: Listener, buffered: boolean, credentials: RequestCredentials): TransportHandle;
/** Outcome of a request that was answered with another status than 200. */
export declare function outcomeOf(status: number): TransportOutcome;
/** Builds a POST of frames. With `keepalive`, the request outlives the page; browsers limit the size. */
export declare function request(frames: readonly string[], credentials: RequestCredentials, keepalive?: boolean): RequestInit;
