/**
 * Send queue: numbers messages and keeps them until acknowledged. Independent of transports, which `InFlight` tracks.
 * Used by the reliable channel; mirrors `minerva_proto`.
 */
import { byteLength, type Message } from '../message.js';
import type { Sack } from '../sack.js';

export class SendQueue {
  /** Unacknowledged messages by number. */
  #messages = new Map<number, Message>();
  /** Lowest unacknowledged number. */
  base: number;
  /** Bytes of unacknowledged messages. */
  bytes = 0;

  /** `next` is the number of the next message. */
  constructor(public next = 0) {
    this.base = next;
  }

  /** Inserts an unacknowledged message of an earlier generation; the numbers of lost ones count as acknowledged. */
  restore(number: number, message: Message): void {
    if (this.#messages.size === 0) this.base = number;
    this.#messages.set(number, message);
    this.bytes += byteLength(message);
    this.next = number + 1;
  }

  /** Continues with number `next`, unless the next number is larger. */
  skipTo(next: number): void {
    if (this.#messages.size === 0) this.base = Math.max(this.base, next);
    this.next = Math.max(this.next, next);
  }

  /** Appends a message and returns its number. */
  push(message: Message): number {
    this.#messages.set(this.next, message);
    this.bytes += byteLength(message);
    return this.next++;
  }

  /**
   * Frees the messages acknowledged by `sack` and calls `freed` for each. Returns false and changes nothing if `sack`
   * contains a message never queued.
   */
  apply({ acked, beyond }: Sack, freed: (number: number, bytes: number) => void): boolean {
    if (Math.max(acked, ...beyond) >= this.next) return false;
    for (const number of beyond) this.#free(number, freed);
    for (let number = this.base; number <= acked; number += 1) this.#free(number, freed);
    while (this.base < this.next && !this.#messages.has(this.base)) this.base += 1;
    return true;
  }

  /** Yields the unacknowledged messages from number `first` on, with their numbers. */
  *iterFrom(first: number): Generator<[number, Message]> {
    for (let number = Math.max(first, this.base); number < this.next; number += 1) {
      const message = this.#messages.get(number);
      if (message !== undefined) yield [number, message];
    }
  }

  /** Returns the numbers of all acknowledged messages. */
  sack(): Sack {
    const beyond: number[] = [];
    for (let number = this.base; number < this.next; number += 1) {
      if (!this.#messages.has(number)) beyond.push(number);
    }
    return { acked: this.base - 1, beyond };
  }

  /** Count of numbers from `base` to `next`; 0 if all are acknowledged. */
  get length(): number {
    return this.next - this.base;
  }

  #free(number: number, freed: (number: number, bytes: number) => void): void {
    const message = this.#messages.get(number);
    if (message === undefined) return;
    this.#messages.delete(number);
    const bytes = byteLength(message);
    this.bytes -= bytes;
    freed(number, bytes);
  }
}
