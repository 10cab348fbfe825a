/** Stream in the worker of a shared stream, or of a tab, for tests. */

/** Stream in the worker: the index of a message is its number. */
export class FakeStream extends EventTarget {
  static last: FakeStream;
  readonly messages: string[] = [];
  readonly id = 'id';
  readonly state = 'open';
  readonly transport = null;
  readonly end = null;
  #acks: (() => void)[] = [];

  constructor() {
    super();
    FakeStream.last = this;
  }

  get counters(): { sent: number } {
    return { sent: this.messages.length };
  }

  send(text: string): Promise<void> {
    this.messages.push(text);
    return new Promise((resolve) => this.#acks.push(resolve));
  }

  closed: string | null = null;

  close(reason: string): Promise<void> {
    this.closed = reason;
    return Promise.resolve();
  }

  acknowledge(): void {
    this.#acks.shift()?.();
  }
}
