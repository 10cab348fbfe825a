import type { Version } from '../stream/types.js';
import type { Listener, TransportHandle } from './transport.js';
/** Opens a WebSocket that offers versions; it accepts frames after the listener reported the opening. */
export declare function openWebSocket(url: string, versions: readonly Version[], listener: Listener): TransportHandle;
/** Splits encoded frames into batches of at most MAX_BATCH characters or bytes, or one longer frame. */
export declare function batch<T extends {
    readonly length: number;
}>(frames: readonly T[]): T[][];
