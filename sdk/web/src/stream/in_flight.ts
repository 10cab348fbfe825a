/**
 * Which own strings are on their way on the transport that carries them now, and which may follow.
 * One per stream; a new carrier starts again at the first unacknowledged string. Used by the
 * stream machine.
 */
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';

/** Own bytes on a transport and not acknowledged: SACKs must not wait behind unread strings. */
export const MAX_IN_FLIGHT = 128 * 1024;
/** ms in which a SACK should come, and so many more for each byte: 4 KB/s is a bad network. */
export const SACK_TIMEOUT = 5_000;
export const SACK_TIMEOUT_PER_BYTE = 0.25;

export class InFlight {
  /** The number of the carrying transport. */
  #carrier = -1;
  /** When a SACK should have come; Infinity: none is awaited. */
  #sackDueAt = Infinity;
  /** All strings below are written to the carrier. */
  #writtenTo = 0;
  /** Bytes of frames written to the carrier and not acknowledged. */
  #bytes = 0;

  /** Frames for the strings that may go out on `carrier` now: one string of any length, or MAX_IN_FLIGHT. */
  takeFrames(carrier: Transport, queue: SendQueue, now: number): string[] {
    if (this.#carrier !== carrier.key) {
      this.#carrier = carrier.key;
      this.#writtenTo = queue.base;
      this.#bytes = 0;
      this.#sackDueAt = Infinity;
    }
    const frames: string[] = [];
    if (carrier.closing) return frames;
    for (const [number, text] of queue.iterFrom(this.#writtenTo)) {
      const bytes = text.length + 1;
      if (this.#bytes > 0 && this.#bytes + bytes > MAX_IN_FLIGHT) break;
      if (number !== carrier.nextOut || !carrier.hasSent) frames.push(`${number}N`);
      frames.push(`${text} `);
      carrier.nextOut = this.#writtenTo = number + 1;
      carrier.hasSent = true;
      this.#bytes += bytes;
    }
    if (frames.length > 0 && this.#sackDueAt === Infinity) this.#armSackTimer(now);
    return frames;
  }

  /** The string of this number and length was acknowledged. */
  onAcked(number: number, length: number, now: number): void {
    if (number >= this.#writtenTo) return;
    this.#bytes -= length + 1;
    this.#armSackTimer(now);
  }

  /** When a SACK for what was written to `carrier` should have come; Infinity: none is awaited. */
  sackDueAt(carrier: Transport): number {
    return carrier.key === this.#carrier ? this.#sackDueAt : Infinity;
  }

  #armSackTimer(now: number): void {
    this.#sackDueAt = this.#bytes > 0 ? now + SACK_TIMEOUT + this.#bytes * SACK_TIMEOUT_PER_BYTE : Infinity;
  }
}
