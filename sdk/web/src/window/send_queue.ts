/**
 * Numbered strings kept until the other side has them. Knows no transports: what was written
 * where is the stream machine's business.
 */
import type { Sack } from '../sack.js';

export class SendQueue {
  /** Entry i has the number base + i; undefined: acknowledged out of order, already forgotten. */
  #entries: (string | undefined)[] = [];
  /** Entries before this index are acknowledged and wait to be cut off in one go. */
  #head = 0;
  #base: number;
  #bytes = 0;

  constructor(next = 0) {
    this.#base = next;
  }

  /** Adds a string and returns its number. */
  push(text: string): number {
    this.#entries.push(text);
    this.#bytes += text.length;
    return this.next - 1;
  }

  /** Frees what `sack` names, calling `freed` for each. False, and no change: it names strings never queued. */
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

  /** The strings from `first` on that are not acknowledged, with their numbers. */
  *iterFrom(first: number): Generator<[number, string]> {
    for (let number = Math.max(first, this.#base); number < this.next; number += 1) {
      const text = this.#entries[this.#head + number - this.#base];
      if (text !== undefined) yield [number, text];
    }
  }

  /** What the other side is known to have. */
  sack(): Sack {
    const beyond: number[] = [];
    for (let i = this.#head; i < this.#entries.length; i += 1) {
      if (this.#entries[i] === undefined) beyond.push(this.#base + i - this.#head);
    }
    return { acked: this.#base - 1, beyond };
  }

  /** The number the next string gets. */
  get next(): number {
    return this.#base + this.#entries.length - this.#head;
  }

  /** The first number not acknowledged. */
  get base(): number {
    return this.#base;
  }

  /** How many numbers there are from the base on; 0: all is acknowledged. */
  get length(): number {
    return this.next - this.#base;
  }

  /** How many bytes the kept strings have. */
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

  /** Cuts the acknowledged entries off once they are half of the list: amortized constant time. */
  #compact(): void {
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries.splice(0, this.#head);
    this.#head = 0;
  }
}
