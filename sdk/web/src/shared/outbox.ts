/**
 * Unacknowledged messages of one tab of a shared stream, with the numbers of the stream as far as the tab has them, so
 * that a leaving tab can upload its messages itself: browsers end the worker with its last tab. Pure. Used by the tab.
 */

interface Entry {
  readonly text: string;
  /** Message number in the stream; null before the worker reports the number. */
  at: number | null;
}

export class TabOutbox {
  #entries = new Map<number, Entry>();
  #sends = 0;
  /** Number that the worker gives the next message, if no other tab sends; null otherwise. */
  #next: number | null = null;

  /** Adds a valid message and returns the number of the send. */
  push(text: string): number {
    this.#entries.set(this.#sends, { text, at: null });
    return this.#sends++;
  }

  /** Records the number of a message. */
  onQueued(of: number, at: number): void {
    const entry = this.#entries.get(of);
    if (entry) entry.at = at;
    if (this.#next !== null) this.#next = at + 1;
  }

  /** Records whether other tabs send, and else the number of the next message. */
  onAlone(at: number | null): void {
    this.#next = at;
  }

  /** Removes a message that is acknowledged or rejected. */
  settle(of: number): void {
    this.#entries.delete(of);
  }

  /** Sends that are not settled, the oldest first. */
  pending(): [number, string][] {
    return [...this.#entries].map(([of, { text }]) => [of, text]);
  }

  /** Returns the frames of all messages with known numbers, at most `room` characters with line ends. */
  finalFrames(room: number): string[] {
    const frames: string[] = [];
    let next = this.#next;
    let expected = -1;
    for (const { text, at } of this.#entries.values()) {
      const number = at ?? next;
      // Messages of other tabs may precede the next one.
      if (number === null) break;
      if (at === null) next = number + 1;
      // Frame type, line ends, and a preceding SeqNum frame.
      room -= text.length + 20;
      if (room < 0) break;
      if (number !== expected) frames.push(`${number}N`);
      frames.push(`${text} `);
      expected = number + 1;
    }
    return frames;
  }
}
