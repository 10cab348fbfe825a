/**
 * State of a session in one page: generation, keys, position, and own messages. Pure: inputs return the writes to storage, which
 * the driver executes in order. Used by the module for sessions.
 *
 * A crash loses the last writes, but none before a completed strict one. Then the next page finds a prefix, which these rules make
 * safe: a generation is stored before its hello, a number before a held message is written under it, and no message is stored
 * behind one that is not.
 */
import type { Message } from '../message.js';
import type { SessionStart } from '../stream/session_start.js';
import type { Unsent } from './host.js';
/** Bounds of the stored own messages of a session: their number, and their bytes, with two for each UTF-16 code unit. */
export declare const MAX_STORED = 1000;
export declare const MAX_STORED_BYTES: number;
/** Generations of a stream: transport numbers stay below 2^53. */
export declare const MAX_GENERATIONS: number;
/** Stored state of a session, besides own messages. */
export interface SessionRecord {
    readonly id: string;
    readonly key: string;
    /** Key of the generation that the server has not accepted yet. */
    readonly next?: string | undefined;
    readonly generation: number;
    /** Creation of the stream; absent before the server has accepted it. */
    readonly born?: string | undefined;
    /** First message that the page has not received. */
    readonly position: number;
}
/** Stored own message: a number, or below 0 the slot of a message without one. */
export type Stored = readonly [slot: number, message: Message];
/** One transaction. `strict`: the next step waits until the write survives a crash. */
export interface Write {
    readonly record: SessionRecord | null;
    readonly put: readonly Stored[];
    readonly remove: readonly number[];
    readonly strict: boolean;
    /** All own messages of the session are removed first. */
    readonly clear?: boolean;
}
export declare class SessionState {
    #private;
    readonly fresh: {
        readonly id: string;
        readonly key: string;
    };
    readonly rewind: 'all' | 'unseen' | 'new' | number;
    record: SessionRecord;
    /** Present while a generation is not accepted. */
    start: SessionStart | undefined;
    /** Messages of earlier pages that were never numbered; they are sent first. */
    readonly held: Message[];
    /** Own messages of a stream that is over. */
    unsent: Unsent[];
    /** Messages that were not stored, because there is no room. */
    unstored: number;
    /** Begins with the stored state, if any; `fresh` has the id and the key of a new stream, `next` is a new key. */
    constructor(record: SessionRecord | undefined, own: readonly Stored[], fresh: {
        readonly id: string;
        readonly key: string;
    }, next: string, rewind?: 'all' | 'unseen' | 'new' | number);
    /** Write that completes before the first hello. */
    open(): Write;
    /** Stores a message that waits for its number; null if that needs no write. */
    storeHeld(message: Message): Write | null;
    /** The server has accepted the stream, and the next own number is `own`. Null for a repetition. */
    begin(born: string, from: number, own: number): Write | null;
    /**
     * Numbers all messages without a number, which are written once the write is complete and no further ones have come; null if
     * there are none. Earlier calls have numbered the first of them.
     */
    numberHeld(held: readonly Message[]): Write | null;
    /** True if every wanted message follows the answer to the hello. */
    isComplete(from: number): boolean;
    /** Stores a message that is being written; null if that needs no write. */
    storeSent(number: number, message: Message): Write | null;
    /** Forgets an acknowledged message; null if that needs no write. */
    freeSent(number: number): Write | null;
    /** The page has received all messages below `position`. */
    moveTo(position: number): Write;
    /** True if another stream follows one that ended with this reason: the stored one was over. */
    isOver(reason: string): boolean;
}
