/** Storage of sessions in IndexedDB. Writes of one page are executed in order. Used by the module for sessions. */
import type { SessionRecord, Stored, Write } from './state.js';
/** Record as stored. */
export interface StoredRecord extends SessionRecord {
    /** Service of the stream. */
    readonly url: string;
    /** Time of the last write of the record, in ms since 1970. */
    readonly used: number;
}
/** Opens the database. Rejected where the platform has none, or forbids its use. */
export declare function openStorage(): Promise<IDBDatabase>;
/** Reads a session and its own messages; deletes the sessions that were not used for a week. */
export declare function load(db: IDBDatabase, session: string): Promise<[StoredRecord | undefined, Stored[]]>;
/** Executes a write, unless another page has a later generation. Fulfilled when the transaction is complete. */
export declare function execute(db: IDBDatabase, session: string, generation: number, url: string, write: Write): Promise<void>;
/** Deletes a session. */
export declare function remove(db: IDBDatabase, session: string): Promise<void>;
