/** Storage of sessions in IndexedDB. Writes of one page are executed in order. Used by the module for sessions. */
import type { SessionRecord, Stored, Write } from './state.js';

const NAME = 'minerva';
const RECORDS = 'sessions';
const MESSAGES = 'own';
/** Age in ms of the last use at which a session is deleted. */
const MAX_AGE = 7 * 86_400_000;

/** Record as stored. */
export interface StoredRecord extends SessionRecord {
  /** Service of the stream. */
  readonly url: string;
  /** Time of the last write of the record, in ms since 1970. */
  readonly used: number;
}

/** Opens the database. Rejected where the platform has none, or forbids its use. */
export async function openStorage(): Promise<IDBDatabase> {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => {
    for (const store of [RECORDS, MESSAGES]) opening.result.createObjectStore(store);
  };
  return result(opening);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function messagesOf(session: string): IDBKeyRange {
  return IDBKeyRange.bound([session], [session, []]);
}

/** Reads a session and its own messages; deletes the sessions that were not used for a week. */
export async function load(db: IDBDatabase, session: string): Promise<[StoredRecord | undefined, Stored[]]> {
  const transaction = db.transaction([RECORDS, MESSAGES], 'readwrite');
  const [records, messages] = [transaction.objectStore(RECORDS), transaction.objectStore(MESSAGES)];
  const scan = records.openCursor();
  scan.onsuccess = () => {
    const cursor = scan.result;
    if (!cursor) return;
    if (Date.now() - (cursor.value as StoredRecord).used > MAX_AGE) {
      cursor.delete();
      messages.delete(messagesOf(String(cursor.key)));
    }
    cursor.continue();
  };
  const slots = result(messages.getAllKeys(messagesOf(session)));
  const contents = result(messages.getAll(messagesOf(session)) as IDBRequest<Stored[1][]>);
  const record = result(records.get(session) as IDBRequest<StoredRecord | undefined>);
  const own = (await slots).map((slot) => (slot as [string, number])[1]);
  const values = await contents;
  return [await record, own.map((slot, index) => [slot, values[index] as Stored[1]])];
}

/** Executes a write, unless another page has a later generation. Fulfilled when the transaction is complete. */
export function execute(db: IDBDatabase, session: string, generation: number, url: string, write: Write): Promise<void> {
  const { record, put, remove, strict, clear } = write;
  const transaction = db.transaction([RECORDS, MESSAGES], 'readwrite', { durability: strict ? 'strict' : 'relaxed' });
  const [records, messages] = [transaction.objectStore(RECORDS), transaction.objectStore(MESSAGES)];
  const present = records.get(session) as IDBRequest<StoredRecord | undefined>;
  present.onsuccess = () => {
    if ((present.result?.generation ?? 0) > generation && !clear) return transaction.abort();
    if (clear) messages.delete(messagesOf(session));
    if (record) records.put({ ...record, url, used: Date.now() }, session);
    for (const slot of remove) messages.delete([session, slot]);
    for (const [slot, message] of put) messages.put(message, [session, slot]);
  };
  return complete(transaction);
}

/** Deletes a session. */
export function remove(db: IDBDatabase, session: string): Promise<void> {
  const transaction = db.transaction([RECORDS, MESSAGES], 'readwrite');
  transaction.objectStore(RECORDS).delete(session);
  transaction.objectStore(MESSAGES).delete(messagesOf(session));
  return complete(transaction);
}

function complete(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
