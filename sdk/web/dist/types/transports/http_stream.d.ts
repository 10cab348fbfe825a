import type { Listener, TransportHandle } from './transport.js';
export declare function openHttpStream(url: string, frames: readonly string[], listener: Listener): TransportHandle;
