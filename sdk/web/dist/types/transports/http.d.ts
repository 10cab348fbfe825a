import type { Listener, TransportHandle } from './transport.js';
/** Posts `frames`; with `together` the response is reported once, as a whole. */
export declare function post(url: string, frames: readonly string[], listener: Listener, together: boolean): TransportHandle;
