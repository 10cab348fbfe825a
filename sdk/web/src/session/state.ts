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
export const MAX_STORED = 1000;
export const MAX_STORED_BYTES = 4 << 20;
/** Generations of a stream: transport numbers stay below 2^53. */
export const MAX_GENERATIONS = 2 ** 21;

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

export class SessionState {
  record: SessionRecord;
  /** Present while a generation is not accepted. */
  start: SessionStart | undefined;
  /** Messages of earlier pages that were never numbered; they are sent first. */
  readonly held: Message[] = [];
  /** Own messages of a stream that is over. */
  unsent: Unsent[] = [];
  /** Messages that were not stored, because there is no room. */
  unstored = 0;
  /** The server has accepted the stream or the generation. */
  #begun = false;
  /** Numbers of stored messages, and of those that are not stored; both unacknowledged. */
  #stored = new Map<number, number>();
  #missing = new Set<number>();
  #bytes = 0;
  #slots: number[] = [];
  /** Next own number, and the count of held messages that have one. */
  #own = 0;
  #numbered = 0;

  /** Begins with the stored state, if any; `fresh` has the id and the key of a new stream, `next` is a new key. */
  constructor(
    record: SessionRecord | undefined,
    own: readonly Stored[],
    readonly fresh: { readonly id: string; readonly key: string },
    next: string,
    readonly rewind: 'all' | 'unseen' | 'new' | number = 'all',
  ) {
    this.record = { ...fresh, generation: 0, position: 0 };
    const numbered = own.filter(([slot]) => slot >= 0).sort(([a], [b]) => a - b);
    // Slots are given downwards.
    const held = own.filter(([slot]) => slot < 0).sort(([a], [b]) => b - a);
    for (const [, message] of numbered) this.unsent.push({ message, maybeDelivered: true });
    for (const [, message] of held) this.unsent.push({ message, maybeDelivered: false });
    // A stream that the server has not confirmed may not exist.
    if (!record?.born || record.generation + 1 >= MAX_GENERATIONS) return;
    this.record = { ...record, next: record.next ?? next, generation: record.generation + 1 };
    this.held = held.map(([, message]) => message);
    this.#slots = held.map(([slot]) => slot);
    for (const [number, message] of numbered) this.#keep(number, message);
    this.start = {
      generation: this.record.generation,
      next: this.record.next as string,
      born: record.born,
      rewind: rewind === 'unseen' ? record.position : rewind,
      own: (numbered.at(-1)?.[0] ?? -1) + 1,
      restored: numbered,
    };
  }

  /** Write that completes before the first hello. */
  open(): Write {
    return { record: this.record, put: [], remove: [], strict: true, clear: !this.start };
  }

  /** Stores a message that waits for its number; null if that needs no write. */
  storeHeld(message: Message): Write | null {
    if (!this.start || !this.#hasRoom(message)) return null;
    const slot = (this.#slots.at(-1) ?? 0) - 1;
    this.#slots.push(slot);
    return this.#write([[slot, message]]);
  }

  /** The server has accepted the stream, and the next own number is `own`. Null for a repetition. */
  begin(born: string, from: number, own: number): Write | null {
    if (this.#begun) return null;
    this.#begun = true;
    this.#own = own;
    const { record, start } = this;
    this.record = { ...record, key: start?.next ?? record.key, next: undefined, born, position: start ? from : record.position };
    return { record: this.record, put: [], remove: [], strict: true };
  }

  /**
   * Numbers all messages without a number, which are written once the write is complete and no further ones have come; null if
   * there are none. Earlier calls have numbered the first of them.
   */
  numberHeld(held: readonly Message[]): Write | null {
    const put: Stored[] = [];
    for (; this.#numbered < held.length; this.#numbered += 1, this.#own += 1) {
      const message = held[this.#numbered] as Message;
      if (this.#keep(this.#own, message)) put.push([this.#own, message]);
    }
    const remove = this.#slots.splice(0);
    return put.length + remove.length > 0 ? { record: null, put, remove, strict: true } : null;
  }

  /** True if every wanted message follows the answer to the hello. */
  isComplete(from: number): boolean {
    const { rewind } = this.start ?? {};
    return rewind === 'new' || from <= (rewind === 'all' || rewind === undefined ? 0 : rewind);
  }

  /** Stores a message that is being written; null if that needs no write. */
  storeSent(number: number, message: Message): Write | null {
    if (this.#stored.has(number) || this.#missing.has(number)) return null;
    return this.#keep(number, message) ? this.#write([[number, message]]) : null;
  }

  /** Forgets an acknowledged message; null if that needs no write. */
  freeSent(number: number): Write | null {
    this.#missing.delete(number);
    const bytes = this.#stored.get(number);
    if (bytes === undefined) return null;
    this.#stored.delete(number);
    this.#bytes -= bytes;
    return this.#write([], [number]);
  }

  /** The page has received all messages below `position`. */
  moveTo(position: number): Write {
    this.record = { ...this.record, position };
    return { record: this.record, put: [], remove: [], strict: false };
  }

  /** True if another stream follows one that ended with this reason: the stored one was over. */
  isOver(reason: string): boolean {
    return reason === 'gone' && !!this.start && !this.#begun;
  }

  #write(put: readonly Stored[], remove: readonly number[] = []): Write {
    return { record: null, put, remove, strict: false };
  }

  /** Accounts for a message; false if it is not stored. A message behind an unstored one would leave a gap for ever. */
  #keep(number: number, message: Message): boolean {
    const hasRoom = this.#missing.size === 0 && this.#hasRoom(message);
    if (hasRoom) {
      this.#stored.set(number, sizeOf(message));
      this.#bytes += sizeOf(message);
    } else {
      this.#missing.add(number);
      this.unstored += 1;
    }
    return hasRoom;
  }

  #hasRoom(message: Message): boolean {
    return this.#stored.size + this.#slots.length < MAX_STORED && this.#bytes + sizeOf(message) <= MAX_STORED_BYTES;
  }
}

function sizeOf(message: Message): number {
  return typeof message === 'string' ? 2 * message.length : message.length;
}
