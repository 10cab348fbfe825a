/**
 * Delayed acknowledgement: decides when a SACK for messages received on a WebSocket or an HTTP stream is due, so that
 * one SACK covers many messages. On a WebSocket, delays during which the server stays quiet are followed by immediate
 * SACKs, because the server may be waiting for them. Pure. Used by the receiver and the stream machine.
 */

/** Messages and bytes that end the delay without a timer; browsers fire timers late in hidden pages. */
export const MAX_DELAYED_MESSAGES = 16;
export const MAX_DELAYED_BYTES = 16 << 10;
/** Longest delay in ms, counted from the first unacknowledged message. */
export const MAX_ACK_DELAY = 100;
/** The same on an HTTP stream, where a SACK without messages of the client costs a request. */
export const MAX_HTTP_ACK_DELAY = 1_000;
/** A delay was useless if no message arrived in its last QUIET_TIME ms: the server may have waited for the SACK. */
export const QUIET_TIME = 75;
/** Upper bound of messages acknowledged at once after useless delays. */
export const MAX_IMMEDIATE_ACKS = 64;

export class DelayedAck {
  /** Time at which the SACK is due in ms; 0 for at once, Infinity if all is acknowledged. */
  dueAt = Infinity;
  /** Messages and bytes that the pending SACK covers. */
  #messages = 0;
  #bytes = 0;
  #lastReceivedAt = 0;
  /** Messages still to be acknowledged at once, and their number after the next useless delay. */
  #immediateLeft = 0;
  #immediateNext = 1;

  /** Records an in-order message of `bytes` bytes, whose SACK may be delayed by `maxDelay` ms. */
  onReceived(bytes: number, now: number, maxDelay = MAX_ACK_DELAY): void {
    this.#messages += 1;
    this.#bytes += bytes;
    // A message after the due time, while the timer is late, does not make the delay useful.
    if (now <= this.dueAt) this.#lastReceivedAt = now;
    const isFull = this.#messages >= MAX_DELAYED_MESSAGES || this.#bytes >= MAX_DELAYED_BYTES;
    const immediate = maxDelay === MAX_ACK_DELAY && this.#immediateLeft-- > 0;
    this.dueAt = Math.min(this.dueAt, immediate || isFull ? 0 : now + maxDelay);
  }

  /** Records that a SACK for all received messages is being sent, and rates the delay if the full time passed. */
  onSackSent(now: number): void {
    if (this.dueAt > 0 && now >= this.dueAt) {
      this.#immediateLeft = this.#lastReceivedAt < this.dueAt - QUIET_TIME ? this.#immediateNext : 0;
      this.#immediateNext = Math.min(MAX_IMMEDIATE_ACKS, this.#immediateLeft * 2 || 1);
    }
    this.dueAt = Infinity;
    this.#messages = this.#bytes = 0;
  }
}
