/**
 * Which own strings are on their way on the transport that carries them now, and which may follow.
 * One per stream; a new carrier starts again at the first unacknowledged string. Used by the
 * stream machine.
 */
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';

/** Own bytes on a transport and not acknowledged: SACKs must not wait behind unread strings. */
export const IN_FLIGHT = 128 * 1024;
/** ms in which a SACK should come, and so many more for each byte: 4 KB/s is a bad network. */
export const ANSWER = 5_000;
export const PER_BYTE = 0.25;

export class InFlight {
  /** The number of the carrying transport. */
  #carrier = -1;
  /** When a SACK should have come; Infinity: none is awaited. */
  #due = Infinity;
  /** All strings below are written to the carrier. */
  #to = 0;
  /** Bytes of frames written to the carrier and not acknowledged. */
  #bytes = 0;

  /** Frames for the strings that may go out on `carrier` now: one string of any length, or IN_FLIGHT. */
  take(carrier: Transport, queue: SendQueue, now: number): string[] {
    if (this.#carrier !== carrier.key) {
      this.#carrier = carrier.key;
      this.#to = queue.base;
      this.#bytes = 0;
      this.#due = Infinity;
    }
    const frames: string[] = [];
    if (carrier.closing) return frames;
    for (const [number, text] of queue.iterFrom(this.#to)) {
      const bytes = text.length + 1;
      if (this.#bytes > 0 && this.#bytes + bytes > IN_FLIGHT) break;
      if (number !== carrier.nextOut || !carrier.carried) frames.push(`${number}N`);
      frames.push(`${text} `);
      carrier.nextOut = this.#to = number + 1;
      carrier.carried = true;
      this.#bytes += bytes;
    }
    if (frames.length > 0 && this.#due === Infinity) this.#await(now);
    return frames;
  }

  /** The string of this number and length was acknowledged. */
  onFreed(number: number, length: number, now: number): void {
    if (number >= this.#to) return;
    this.#bytes -= length + 1;
    this.#await(now);
  }

  /** When a SACK for what was written to `carrier` should have come; Infinity: none is awaited. */
  dueOn(carrier: Transport): number {
    return carrier.key === this.#carrier ? this.#due : Infinity;
  }

  #await(now: number): void {
    this.#due = this.#bytes > 0 ? now + ANSWER + this.#bytes * PER_BYTE : Infinity;
  }
}
