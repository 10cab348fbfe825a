/**
 * The numbered strings of both directions: own ones kept until they are acknowledged, received ones put in
 * order, and what each side was told of the other's. Knows which transport a frame came on, not which
 * transports there are. Used by the stream machine.
 */
import { formatSack, type Sack } from '../sack.js';
import { SendQueue } from '../window/send_queue.js';
import { InFlight } from './in_flight.js';
import { Receiver } from './receiver.js';
import type { Output, Transport } from './types.js';

/** What a frame was: it brought something new, nothing new, or what cannot be. */
export type FrameResult = 'progress' | 'duplicate' | 'violation';

export class ReliableChannel {
  readonly counts = { sent: 0, acknowledged: 0, received: 0 };
  /** A StreamCreated frame was seen. */
  created = false;
  readonly receiver = new Receiver();
  #queue = new SendQueue();
  #inFlight = new InFlight();
  /** How often in a row the two sides contradicted each other about what was sent: twice is for good. */
  #mismatches = 0;

  /** Queues a string (already checked) and returns its number. */
  send(text: string): number {
    this.counts.sent += 1;
    return this.#queue.push(text);
  }

  /** `stays`: the transport is not being succeeded. */
  recvMessage(transport: Transport, text: string, stays: boolean, now: number): FrameResult {
    const patient = stays && transport.kind === 'websocket';
    const received = this.receiver.receive(transport.nextIn, text, patient, now);
    if (received === 'overflow') return 'violation';
    transport.nextIn += 1;
    return received === 'duplicate' ? 'duplicate' : this.#accept('progress');
  }

  /** Frees what is acknowledged, telling `outputs`. Wrong: it names strings that were never sent. */
  recvSack(sack: Sack, outputs: Output[], now: number): FrameResult {
    const before = this.counts.acknowledged;
    const freed = this.#queue.apply(sack, (number, bytes) => {
      this.#inFlight.onAcked(number, bytes, now);
      this.counts.acknowledged += 1;
      outputs.push({ do: 'acked', number });
    });
    if (!freed) return 'violation';
    return this.counts.acknowledged > before ? this.#accept('progress') : 'duplicate';
  }

  /** One side acknowledged what the other never sent. True: it is hopeless. */
  onSackMismatch(): boolean {
    return this.#mismatches++ > 0;
  }

  /** Hands the strings that are in order to the application. */
  deliver(outputs: Output[]): void {
    for (let text = this.receiver.pop(); text !== undefined; text = this.receiver.pop()) {
      this.counts.received += 1;
      outputs.push({ do: 'deliver', text });
    }
  }

  /** Frames of own strings that may be written to `carrier` now. */
  takeFrames(carrier: Transport, now: number): string[] {
    return this.#inFlight.takeFrames(carrier, this.#queue, now);
  }

  /** When a SACK for what was written to `carrier` should have come; Infinity: none is awaited. */
  sackDueAt(carrier: Transport): number {
    return this.#inFlight.sackDueAt(carrier);
  }

  /** Frames of the first own strings that are not acknowledged, of at most `room` bytes in all. */
  finalFrames(room: number): string[] {
    const frames: string[] = [];
    let next = -1;
    for (const [number, text] of this.#queue.iterFrom(0)) {
      // Two line ends, a type, and a SeqNum frame in front.
      room -= text.length + 20;
      if (room < 0) break;
      if (number !== next) frames.push(`${number}N`);
      frames.push(`${text} `);
      next = number + 1;
    }
    return frames;
  }

  /** SACK text: what the server is known to have. */
  get seenAck(): string {
    return formatSack(this.#queue.sack());
  }

  /** There are own strings that are not acknowledged. */
  get hasUnacked(): boolean {
    return this.#queue.length > 0;
  }

  /** Bytes of own strings that are not acknowledged. */
  get unackedBytes(): number {
    return this.#queue.bytes;
  }

  #accept(result: FrameResult): FrameResult {
    this.#mismatches = 0;
    return result;
  }
}
