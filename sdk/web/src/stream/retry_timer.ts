/** Time of the next attempt after failures. Used by the transport policy and the uploads. */
import { backoff } from '../backoff.js';

export class RetryTimer {
  /** Consecutive failures. */
  #attempt = 0;
  /** Earliest time of the next attempt. */
  nextAttemptAt = 0;

  constructor(readonly random: () => number) {}

  /** Resets the back-off. */
  onSuccess(): void {
    this.#attempt = 0;
  }

  /** Postpones the next attempt by the back-off. */
  onFailure(now: number): void {
    this.nextAttemptAt = Math.max(this.nextAttemptAt, now + backoff(this.#attempt++, this.random()));
  }

  /** Postpones the next attempt by `ms`, as requested by the server, plus up to a quarter to spread clients. */
  onRetryAfter(now: number, ms: number): void {
    this.nextAttemptAt = Math.max(this.nextAttemptAt, now + ms * (1 + this.random() / 4));
  }

  /** Allows the next attempt at once and resets the back-off. */
  retryNow(now: number): void {
    this.#attempt = 0;
    this.nextAttemptAt = now;
  }
}
