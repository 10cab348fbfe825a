/** When to try again: failures in a row and the time they make one wait. Used by the stream machine. */
import { backoff } from '../backoff.js';

export class RetryTimer {
  /** Failures in a row. */
  #attempt = 0;
  /** Not before this time. */
  nextAttemptAt = 0;

  constructor(readonly random: () => number) {}

  /** It works: the next failure is a first one. */
  onSuccess(): void {
    this.#attempt = 0;
  }

  onFailure(now: number): void {
    this.nextAttemptAt = Math.max(this.nextAttemptAt, now + backoff(this.#attempt++, this.random()));
  }

  /** The server asked for a pause of `ms`; others were asked, too. */
  onRetryAfter(now: number, ms: number): void {
    this.nextAttemptAt = Math.max(this.nextAttemptAt, now + ms * (1 + this.random() / 4));
  }

  /** Allows the next attempt at once. */
  retryNow(now: number): void {
    this.#attempt = 0;
    this.nextAttemptAt = now;
  }
}
