/**
 * The SACK's patience: how long one for strings that come on a WebSocket may wait, so that it covers many. A
 * server that waits for it is not kept waiting often. Knows no strings and no clock. Used by the stream machine.
 */

/** From so many strings or bytes on it waits no more: that needs no timer, which browsers run late in hidden pages. */
export const MAX_DELAYED_MESSAGES = 16;
export const MAX_DELAYED_BYTES = 16 << 10;
/** ms after the first string. */
export const MAX_ACK_DELAY = 100;
/** A wait in whose last ms no string came was in vain: the server may have waited, too. */
export const QUIET_TIME = 75;
/** Strings that are answered at once after waits in vain, at most. */
export const MAX_IMMEDIATE_ACKS = 64;

export class DelayedAck {
  /** When the SACK is due; 0: at once, Infinity: there is nothing to say. */
  dueAt = Infinity;
  /** What it covers so far. */
  #messages = 0;
  #bytes = 0;
  #lastReceivedAt = 0;
  /** Strings that are still to be answered at once, and how many after the next wait in vain. */
  #immediateLeft = 0;
  #immediateNext = 1;

  /** The next string in order came on a WebSocket. */
  onReceived(bytes: number, now: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    // One that came when the wait was over, before its timer, tells nothing of it.
    if (now <= this.dueAt) this.#lastReceivedAt = now;
    const prompt = this.#immediateLeft-- > 0 || this.#messages >= MAX_DELAYED_MESSAGES || this.#bytes >= MAX_DELAYED_BYTES;
    this.dueAt = Math.min(this.dueAt, prompt ? 0 : now + MAX_ACK_DELAY);
  }

  /** The SACK goes out; all is said. */
  onSackSent(now: number): void {
    if (this.dueAt > 0 && now >= this.dueAt) {
      this.#immediateLeft = this.#lastReceivedAt < this.dueAt - QUIET_TIME ? this.#immediateNext : 0;
      this.#immediateNext = Math.min(MAX_IMMEDIATE_ACKS, this.#immediateLeft * 2 || 1);
    }
    this.dueAt = Infinity;
    this.#messages = this.#bytes = 0;
  }
}
