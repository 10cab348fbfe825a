/**
 * Strings put in order. Knows no transports and no application: strings go in with their numbers,
 * and come out in order, each once.
 */
import type { Sack } from '../sack.js';

/** How much may wait behind a gap. */
export interface WindowLimits {
  readonly messages: number;
  /** Each string counts with its length and OVERHEAD. */
  readonly bytes: number;
}

/** What a short string costs beside its bytes. */
export const OVERHEAD = 30;

export type Received = 'duplicate' | 'waiting' | 'deliverable' | 'overflow';

export class ReceiveWindow {
  /** All numbers below were received. */
  #next: number;
  /** In order, not yet popped; the last one has the number #next - 1. */
  #ready: string[] = [];
  /** Received, all above #next. */
  #waiting = new Map<number, string>();
  #waitingBytes = 0;

  constructor(
    readonly limits: WindowLimits,
    next = 0,
  ) {
    this.#next = next;
  }

  /** Takes a string. The one that is next is always taken; 'overflow' changes nothing. */
  receive(number: number, text: string): Received {
    if (number < this.#next || this.#waiting.has(number)) return 'duplicate';
    if (number > this.#next) return this.#wait(number, text);
    this.#ready.push(text);
    this.#next += 1;
    this.#closeGap();
    return 'deliverable';
  }

  /** The next string in order. */
  pop(): string | undefined {
    return this.#ready.shift();
  }

  /** Something is missing before what was received. */
  get hasGap(): boolean {
    return this.#waiting.size > 0;
  }

  /** All that was received, popped or not. */
  sack(): Sack {
    const beyond = [...this.#waiting.keys()].sort((a, b) => a - b);
    return { acked: this.#next - 1, beyond };
  }

  #wait(number: number, text: string): Received {
    const bytes = this.#waitingBytes + text.length + OVERHEAD;
    if (this.#waiting.size >= this.limits.messages || bytes > this.limits.bytes) return 'overflow';
    this.#waiting.set(number, text);
    this.#waitingBytes = bytes;
    return 'waiting';
  }

  #closeGap(): void {
    for (;;) {
      const text = this.#waiting.get(this.#next);
      if (text === undefined) return;
      this.#waiting.delete(this.#next);
      this.#waitingBytes -= text.length + OVERHEAD;
      this.#ready.push(text);
      this.#next += 1;
    }
  }
}
