/**
 * Received strings that an async iteration has not taken yet. Says when it is full, so that the
 * stream can hold the server back. Used by the client.
 */

/** Above this the server is held back: as much as it keeps for a client that is behind. */
export const MAX_INBOX_MESSAGES = 1000;
export const MAX_INBOX_BYTES = 1 << 20;

const DONE = { done: true, value: undefined } as const;

export class Inbox implements AsyncIterableIterator<string> {
  #messages: string[] = [];
  #bytes = 0;
  #takers: ((result: IteratorResult<string>) => void)[] = [];
  #ended = false;

  /** `onTaken` is called after a string was taken, `onReturn` when the iteration is given up. */
  constructor(
    readonly onTaken: () => void,
    readonly onReturn: (inbox: Inbox) => void,
  ) {}

  push(text: string): void {
    const taker = this.#takers.shift();
    if (taker) {
      taker({ done: false, value: text });
      return;
    }
    this.#messages.push(text);
    this.#bytes += text.length;
  }

  /** No string follows; those that wait can still be taken. */
  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker(DONE);
  }

  get isFull(): boolean {
    return this.#messages.length >= MAX_INBOX_MESSAGES || this.#bytes >= MAX_INBOX_BYTES;
  }

  async next(): Promise<IteratorResult<string>> {
    const text = this.#messages.shift();
    if (text !== undefined) {
      this.#bytes -= text.length;
      this.onTaken();
      return { done: false, value: text };
    }
    if (this.#ended) return DONE;
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  async return(): Promise<IteratorResult<string>> {
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
