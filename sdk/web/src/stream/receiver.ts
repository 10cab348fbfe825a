/**
 * Receiving half of the reliable channel: reorders messages of the server, and tracks the SACKs sent for them. Used by
 * the reliable channel and the stream machine.
 */
import type { Message } from '../message.js';
import { formatSack } from '../sack.js';
import { ReceiveWindow, type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';
import { ReceivedTags } from './received_tags.js';
import type { Transport } from './types.js';

/** Window limits, far above the outbox of a server (1 MiB or 1,000 messages by default). */
const WINDOW = { messages: 16_384, bytes: 16 << 20 };

export class Receiver {
  /** Decides when the next SACK is due. */
  readonly delayedAck = new DelayedAck();
  /** Set while the application is behind: no message is delivered, and SACKs stay unchanged. */
  #paused = false;
  #window = new ReceiveWindow(WINDOW);
  #tags = VERSION_3 ? new ReceivedTags() : null;
  /** Last SACK text sent to the server. */
  #lastSent = formatSack(this.#window.sack());

  /** Begins with message `first`, before any message was received. */
  skipTo(first: number): void {
    this.#window.skipTo(first);
    this.#lastSent = formatSack(this.#window.sack());
  }

  /**
   * Accepts the next message of a transport. The SACK may be delayed by `maxDelay` ms, unless a message is missing.
   * `conflict`: the message was received with another claim tag.
   */
  receive({ nextIn, tag }: Transport, message: Message, maxDelay: number, now: number): Received | 'conflict' {
    const { hasGap } = this.#window;
    const received = this.#window.receive(nextIn, message);
    if (VERSION_3 && tag && received !== 'overflow' && !this.#tags?.add(nextIn, tag)) return 'conflict';
    if (maxDelay && !hasGap && received === 'deliverable') this.delayedAck.onReceived(message.length, now, maxDelay);
    // A duplicate is acknowledged too, because the first SACK may be lost.
    else if (received !== 'overflow') this.delayedAck.dueAt = 0;
    return received;
  }

  /** Returns the next message for the application. */
  pop(): Message | undefined {
    return this.#paused ? undefined : this.#window.pop();
  }

  /** Pauses or resumes delivery; returns false if nothing changes. */
  setPaused(paused: boolean): boolean {
    if (paused === this.#paused) return false;
    this.#paused = paused;
    if (!paused && formatSack(this.#window.sack()) !== this.#lastSent) this.delayedAck.dueAt = 0;
    return true;
  }

  /** Time at which the SACK is due; Infinity for none, and while delivery is paused. */
  get ackDueAt(): number {
    return this.#paused ? Infinity : this.delayedAck.dueAt;
  }

  /** Takes the claim tags for a SACK on this transport, as pairs `FIRST TAG`: in the hello, or if one was added. */
  takeTags(transport: Transport, inHello = false): readonly string[] {
    if (VERSION_3) {
      const { tags } = transport;
      const pairs = (transport.tags = this.#tags?.pairs(this.#window.sack().acked) ?? []);
      if (inHello || pairs.some((pair) => !tags.includes(pair))) return pairs;
    }
    return [];
  }

  /** Returns the SACK text to send now and marks that text as sent. */
  takeSack(now = 0): string {
    if (!this.#paused) this.#lastSent = formatSack(this.#window.sack());
    this.delayedAck.onSackSent(now);
    return this.#lastSent;
  }
}
