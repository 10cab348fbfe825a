/**
 * Send queue: numbers messages and keeps them until acknowledged. Independent of transports, which `InFlight` tracks.
 * Used by the reliable channel; mirrors `minerva_proto`.
 */
import type { Sack } from '../sack.js';

export class SendQueue {
  /** Entry #head + i has the number #base + i; undefined if acknowledged out of order. */
  #entries: (string | undefined)[] = [];
  /** Entries before this index are acknowledged and removed in batches. */
  #head = 0;
  #base: number;
  #bytes = 0;

  constructor(next = 0) {
    this.#base = next;
  }

  /** Appends a message and returns its number. */
  push(text: string): number {
    this.#entries.push(text);
    this.#bytes += text.length;
    return this.next - 1;
  }

  /**
   * Frees the messages acknowledged by `sack` and calls `freed` for each. Returns false and changes nothing if `sack`
   * contains a message never queued.
   */
  apply(sack: Sack, freed: (number: number, bytes: number) => void): boolean {
    const next = this.next;
    if (sack.acked >= next || sack.beyond.some((number) => number >= next)) return false;
    for (const number of sack.beyond) this.#free(number, freed);
    for (let number = this.#base; number <= sack.acked; number += 1) this.#free(number, freed);
    while (this.#head < this.#entries.length && this.#entries[this.#head] === undefined) {
      this.#head += 1;
      this.#base += 1;
    }
    this.#compact();
    return true;
  }

  /** Yields the unacknowledged messages from number `first` on, with their numbers. */
  *iterFrom(first: number): Generator<[number, string]> {
    for (let number = Math.max(first, this.#base); number < this.next; number += 1) {
      const text = this.#entries[this.#head + number - this.#base];
      if (text !== undefined) yield [number, text];
    }
  }

  /** Returns the numbers of all acknowledged messages. */
  sack(): Sack {
    const beyond: number[] = [];
    for (let i = this.#head; i < this.#entries.length; i += 1) {
      if (this.#entries[i] === undefined) beyond.push(this.#base + i - this.#head);
    }
    return { acked: this.#base - 1, beyond };
  }

  /** Number of the next message. */
  get next(): number {
    return this.#base + this.#entries.length - this.#head;
  }

  /** Lowest unacknowledged number. */
  get base(): number {
    return this.#base;
  }

  /** Count of numbers from `base` to `next`; 0 if all are acknowledged. */
  get length(): number {
    return this.next - this.#base;
  }

  /** Bytes of unacknowledged messages. */
  get bytes(): number {
    return this.#bytes;
  }

  #free(number: number, freed: (number: number, bytes: number) => void): void {
    const index = this.#head + number - this.#base;
    const text = number < this.#base ? undefined : this.#entries[index];
    if (text === undefined) return;
    this.#entries[index] = undefined;
    this.#bytes -= text.length;
    freed(number, text.length);
  }

  /** Removes acknowledged entries once they are half of the list; amortised constant time. */
  #compact(): void {
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries.splice(0, this.#head);
    this.#head = 0;
  }
}
