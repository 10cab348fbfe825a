/**
 * The transports that a stream has at a time and the part each plays. Knows no frames. Used by the
 * stream machine.
 */
import type { Kind, Transport } from './types.js';
export declare class Transports {
    /** A WebSocket that is being opened; the server has not heard of it yet. */
    candidate: Transport | null;
    /** The newest transport that wants strings. */
    primary: Transport | null;
    /** The one it succeeds, still open: at most one. */
    predecessor: Transport | null;
    /** Carries own strings when the primary cannot. */
    upload: Transport | null;
    all(): Transport[];
    find(key: number): Transport | undefined;
    /** Takes a transport out. */
    remove(transport: Transport): void;
    /** Makes room for a successor: the primary stays open until that has taken over. Returns which one is to be closed. */
    retire(): Transport | null;
    /** The predecessor as long as it works. */
    get healthyPredecessor(): Transport | null;
    /** Where own strings go: the newest transport that works, for want of one the newest. */
    get carrier(): Transport | null;
    /** The kind that works now; null: none does. */
    get healthyKind(): Kind | null;
}
