/**
 * Queue of received messages behind one async iteration. A full queue makes the client apply back-pressure to the
 * server. Used by the client.
 */

import type { Message } from './message.js';

/** Limits of a queue; at either one the client pauses the server. They equal the server's default outbox. */
export const MAX_INBOX_MESSAGES = 1000;
export const MAX_INBOX_BYTES = 1 << 20;

const DONE = { done: true, value: undefined } as const;

export class Inbox implements AsyncIterableIterator<Message> {
  #messages: Message[] = [];
  #bytes = 0;
  #takers: ((result: IteratorResult<Message>) => void)[] = [];
  #ended = false;

  /** Calls `onTaken` after each message taken by the iteration, and `onReturn` when the iteration is abandoned. */
  constructor(
    readonly onTaken: () => void,
    readonly onReturn: (inbox: Inbox) => void,
  ) {}

  push(message: Message): void {
    const taker = this.#takers.shift();
    if (taker) {
      taker({ done: false, value: message });
      return;
    }
    this.#messages.push(message);
    this.#bytes += message.length;
  }

  /** Marks the end of the stream; queued messages remain available. */
  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker(DONE);
  }

  get isFull(): boolean {
    return this.#messages.length >= MAX_INBOX_MESSAGES || this.#bytes >= MAX_INBOX_BYTES;
  }

  async next(): Promise<IteratorResult<Message>> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#bytes -= message.length;
      this.onTaken();
      return { done: false, value: message };
    }
    if (this.#ended) return DONE;
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  async return(): Promise<IteratorResult<Message>> {
    this.#messages = [];
    this.#bytes = 0;
    this.end();
    this.onReturn(this);
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
