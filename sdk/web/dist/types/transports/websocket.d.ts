import type { Listener, TransportHandle } from './transport.js';
/** Opens a WebSocket; frames may be written once it is open. */
export declare function openWebSocket(url: string, listener: Listener): TransportHandle;
/** Joins frames into messages of about MAX_TEXT characters. */
export declare function batchFrames(frames: readonly string[]): string[];
