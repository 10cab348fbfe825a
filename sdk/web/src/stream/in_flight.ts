/**
 * Messages in flight on the carrier, the transport that carries client-to-server messages, and the SACK timeout. One
 * per stream; a new carrier starts again at the first unacknowledged message. Used by the reliable channel.
 */
import { encodeMessage, type OutFrame } from '../frames.js';
import { byteLength } from '../message.js';
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';

/** Unacknowledged bytes allowed on one transport; more would delay SACKs behind unread messages. */
export const MAX_IN_FLIGHT = 128 * 1024;
/** SACK timeout in ms, plus a share per byte in flight that allows for a slow network of 4 KB/s. */
export const SACK_TIMEOUT = 5_000;
export const SACK_TIMEOUT_PER_BYTE = 0.25;

export class InFlight {
  #carrier: Transport | null = null;
  /** Messages below this number are written to the carrier. */
  #writtenTo = 0;
  /** Unacknowledged bytes of frames written to the carrier. */
  #bytes = 0;

  /**
   * Takes the frames that may be written to `carrier` now: messages of up to MAX_IN_FLIGHT bytes or one longer message,
   * and the reset behind them.
   */
  takeFrames(carrier: Transport, queue: SendQueue, reset: readonly string[], now: number): OutFrame[] {
    if (this.#carrier !== carrier) {
      this.#bytes = 0;
      this.#armSackTimer(now);
      this.#carrier = carrier;
      this.#writtenTo = queue.base;
    }
    const frames: OutFrame[] = [];
    for (const [number, message] of queue.iterFrom(this.#writtenTo)) {
      const bytes = byteLength(message) + 1;
      if (this.#bytes > 0 && this.#bytes + bytes > MAX_IN_FLIGHT) break;
      if (number !== carrier.nextOut || !carrier.hasSent) frames.push(`${number}N`);
      frames.push(encodeMessage(message));
      carrier.nextOut = this.#writtenTo = number + 1;
      carrier.hasSent = true;
      this.#bytes += bytes;
    }
    frames.push(...reset);
    this.#bytes += reset.length;
    if (frames.length > 0 && carrier.sackDueAt === Infinity) this.#armSackTimer(now);
    return frames;
  }

  /** Records the acknowledgement of a message with this number and length. */
  onAcked(number: number, length: number, now: number): void {
    if (number >= this.#writtenTo) return;
    this.#bytes -= length + 1;
    this.#armSackTimer(now);
  }

  #armSackTimer(now: number): void {
    const due = this.#bytes > 0 ? now + SACK_TIMEOUT + this.#bytes * SACK_TIMEOUT_PER_BYTE : Infinity;
    if (this.#carrier) this.#carrier.sackDueAt = due;
  }
}
