/** Current transports of a stream by role. Used by the stream machine, the transport policy and the uploads. */
import type { Kind, Transport } from './types.js';
export declare class Transports {
    /** WebSocket being opened, or being proven; carries no messages. */
    candidate: Transport | null;
    /** Newest transport that carries server-to-client messages. */
    primary: Transport | null;
    /** Transport that the primary replaces, still open. */
    predecessor: Transport | null;
    /** HTTP request that carries client-to-server messages beside an HTTP primary. */
    upload: Transport | null;
    all(): Transport[];
    find(key: number): Transport | undefined;
    /** Removes a transport from its role. */
    remove(transport: Transport): void;
    /**
     * Makes the primary the predecessor, which stays open until a successor works. Returns the transport to close: the
     * former predecessor, or the primary if closing, or unattached beside a healthy predecessor.
     */
    retire(): Transport | null;
    /** The predecessor, if attached and neither closing nor suspect. */
    get healthyPredecessor(): Transport | null;
    /** Transport for client-to-server messages: the newest attached one, else the primary. */
    get carrier(): Transport | null;
    /** Kind of the transport that works now; null for none. */
    get healthyKind(): Kind | null;
}
