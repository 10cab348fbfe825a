import type { Listener, TransportHandle } from './transport.js';
/** Posts `frames`; with `together` the response is reported once, as a whole. */
export declare function openHttp(url: string, frames: readonly string[], listener: Listener, buffered: boolean): TransportHandle;
/** The request of an upload. `keepalive`: it goes on when the page is gone; browsers limit its size. */
export declare function request(frames: readonly string[], keepalive?: boolean): RequestInit;
