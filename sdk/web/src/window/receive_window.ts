/**
 * Receive window: accepts numbered messages in any order and returns each once, in order. Independent of transports and
 * of the application. Used by the receiver; mirrors `minerva_proto`.
 */
import type { Message } from '../message.js';
import type { Sack } from '../sack.js';

/** Bounds of the messages that wait behind a gap. */
export interface WindowLimits {
  readonly messages: number;
  /** Bound of the sum of message lengths in characters or bytes, plus OVERHEAD for each. */
  readonly bytes: number;
}

/** Memory in bytes that a waiting message costs in addition to its content. */
export const OVERHEAD = 30;

/** Result of `ReceiveWindow.receive`. */
export type Received = 'duplicate' | 'waiting' | 'deliverable' | 'overflow';

export class ReceiveWindow {
  /** Lowest number not received. */
  #next: number;
  /** In-order messages not yet popped; the last one has the number #next - 1. */
  #ready: Message[] = [];
  /** Messages behind the gap, by number; all numbers exceed #next. */
  #waiting = new Map<number, Message>();
  #waitingBytes = 0;

  constructor(
    readonly limits: WindowLimits,
    next = 0,
  ) {
    this.#next = next;
  }

  /** Continues with number `next`; no message was received. */
  skipTo(next: number): void {
    this.#next = next;
  }

  /** Accepts a message. The next one in order is always accepted; 'overflow' changes nothing. */
  receive(number: number, message: Message): Received {
    if (number < this.#next || this.#waiting.has(number)) return 'duplicate';
    const isNext = number === this.#next;
    const bytes = this.#waitingBytes + message.length + OVERHEAD;
    const isFull = this.#waiting.size >= this.limits.messages || bytes > this.limits.bytes;
    if (isFull && !isNext) return 'overflow';
    this.#waiting.set(number, message);
    this.#waitingBytes = bytes;
    this.#closeGap();
    return isNext ? 'deliverable' : 'waiting';
  }

  /** Removes and returns the next in-order message. */
  pop(): Message | undefined {
    return this.#ready.shift();
  }

  /** True if a message is missing before a received one. */
  get hasGap(): boolean {
    return this.#waiting.size > 0;
  }

  /** Returns the numbers of all received messages, popped or not. */
  sack(): Sack {
    const beyond = [...this.#waiting.keys()].sort((a, b) => a - b);
    return { acked: this.#next - 1, beyond };
  }

  #closeGap(): void {
    for (let message; (message = this.#waiting.get(this.#next)) !== undefined; ) {
      this.#waiting.delete(this.#next++);
      this.#waitingBytes -= message.length + OVERHEAD;
      this.#ready.push(message);
    }
  }
}
