import type { Listener, TransportHandle } from './transport.js';
/** Opens a WebSocket, which accepts frames after the listener reported the opening. */
export declare function openWebSocket(url: string, listener: Listener): TransportHandle;
/** Joins frames into WebSocket texts of at most MAX_TEXT characters, or one longer frame. */
export declare function batchFrames(frames: readonly string[]): string[];
