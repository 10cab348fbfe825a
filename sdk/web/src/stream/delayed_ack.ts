/**
 * The SACK's patience: how long one for strings that come on a WebSocket may wait, so that it covers many. A
 * server that waits for it is not kept waiting often. Knows no strings and no clock. Used by the stream machine.
 */

/** From so many strings or bytes on it waits no more: that needs no timer, which browsers run late in hidden pages. */
export const MOST_STRINGS = 16;
export const MOST_BYTES = 16 << 10;
/** ms after the first string. */
export const WAIT = 100;
/** A wait in whose last ms no string came was in vain: the server may have waited, too. */
export const LULL = 75;
/** Strings that are answered at once after waits in vain, at most. */
export const MOST_PROMPT = 64;

export class DelayedAck {
  /** When the SACK is due; 0: at once, Infinity: there is nothing to say. */
  at = Infinity;
  /** What it covers so far. */
  #strings = 0;
  #bytes = 0;
  #lastAt = 0;
  /** Strings that are still to be answered at once, and how many after the next wait in vain. */
  #prompt = 0;
  #penalty = 1;

  /** The next string in order came on a WebSocket. */
  onString(bytes: number, now: number): void {
    this.#strings += 1;
    this.#bytes += bytes;
    // One that came when the wait was over, before its timer, tells nothing of it.
    if (now <= this.at) this.#lastAt = now;
    const prompt = this.#prompt-- > 0 || this.#strings >= MOST_STRINGS || this.#bytes >= MOST_BYTES;
    this.at = Math.min(this.at, prompt ? 0 : now + WAIT);
  }

  /** The SACK goes out; all is said. */
  onSack(now: number): void {
    if (this.at > 0 && now >= this.at) {
      this.#prompt = this.#lastAt < this.at - LULL ? this.#penalty : 0;
      this.#penalty = Math.min(MOST_PROMPT, this.#prompt * 2 || 1);
    }
    this.at = Infinity;
    this.#strings = this.#bytes = 0;
  }
}
