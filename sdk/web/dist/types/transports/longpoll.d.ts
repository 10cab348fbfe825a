import type { Listener, TransportHandle } from './transport.js';
export declare function openLongPoll(url: string, frames: readonly string[], listener: Listener): TransportHandle;
