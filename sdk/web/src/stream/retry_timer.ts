/** When to try again: failures in a row and the time they make one wait. Used by the stream machine. */
import { backoff } from '../backoff.js';

export class RetryTimer {
  /** Failures in a row. */
  #attempt = 0;
  /** Not before this time. */
  at = 0;

  constructor(readonly random: () => number) {}

  /** It works: the next failure is a first one. */
  onSuccess(): void {
    this.#attempt = 0;
  }

  onFailure(now: number): void {
    this.at = Math.max(this.at, now + backoff(this.#attempt++, this.random()));
  }

  /** The server asked for a pause of `ms`; others were asked, too. */
  onPause(now: number, ms: number): void {
    this.at = Math.max(this.at, now + ms * (1 + this.random() / 4));
  }

  /** Allows the next attempt at once. */
  hurry(now: number): void {
    this.#attempt = 0;
    this.at = now;
  }
}
