import type { Listener, TransportHandle } from './transport.js';
/** Opens a WebSocket and writes `frames` as soon as it is open. */
export declare function openWebSocket(url: string, frames: readonly string[], listener: Listener): TransportHandle;
/** Joins frames into messages of about MESSAGE characters. */
export declare function messages(frames: readonly string[]): string[];
