/**
 * Reliable message channel over changing transports: keeps sent messages until they are acknowledged, and reorders
 * received ones. Opens and selects no transports. Used by the stream machine.
 */
import { encodeMessage, type OutFrame } from '../frames.js';
import { byteLength, isForVersion2, type Message } from '../message.js';
import { formatSack, type Sack } from '../sack.js';
import { SendQueue } from '../window/send_queue.js';
import { MAX_ACK_DELAY, MAX_HTTP_ACK_DELAY } from './delayed_ack.js';
import { InFlight } from './in_flight.js';
import { Receiver } from './receiver.js';
import type { SessionStart } from './session_start.js';
import type { Output, Transport } from './types.js';

/**
 * Effect of a received frame: new messages or acknowledgements, a repetition, a protocol violation, or a message whose
 * number belonged to another one.
 */
export type FrameResult = 'progress' | 'duplicate' | 'violation' | 'conflict';

/**
 * Longest time in ms to wait for the confirmation of a reset. The server ends a stream without transports after the
 * same time by default.
 */
export const RESET_TIMEOUT = 120_000;

export class ReliableChannel {
  /** Number of the first message to be delivered. */
  #first = 0;
  /** Message counts for `Counters`. */
  readonly counts = { sent: 0, acknowledged: 0, received: 0 };
  /** The server has confirmed the creation of the stream: a StreamCreated frame, or a welcome of version 3. */
  created = false;
  /** Reset of the page that is not confirmed yet; null before. */
  resetting: { readonly reason: string; readonly applicationLevel: boolean } | null = null;
  /** Reset of the page that waits for the acknowledgement of all messages; null without one. */
  closing: { readonly reason: string } | null = null;
  /** Frame with new credentials that is not written yet. */
  renewal: readonly string[] = [];
  readonly receiver = new Receiver();
  #queue = new SendQueue();
  #inFlight = new InFlight();
  /** SACKs of unsent messages, by either side and without progress in between. */
  #mismatches = 0;

  /** Restores the unacknowledged messages of earlier generations; `own` is the first number above all of them. */
  restore(messages: SessionStart['restored'], own: number): void {
    for (const [number, message] of messages) this.#queue.restore(number, message);
    this.#queue.skipTo(own);
  }

  /** Begins a generation: the first message of the server, and the first own number that was never given. */
  begin(from: number, own: number): void {
    this.#first = from;
    this.receiver.skipTo(from);
    this.#queue.skipTo(own);
  }

  /** Queues a valid message and returns its number. */
  send(message: Message): number {
    this.counts.sent += 1;
    return this.#queue.push(message);
  }

  /** Accepts a message; `isPrimary` is false on a predecessor, whose messages are acknowledged at once. */
  recvMessage(transport: Transport, message: Message, isPrimary: boolean, now: number): FrameResult {
    const { kind } = transport;
    const maxDelay = kind === 'websocket' ? MAX_ACK_DELAY : MAX_HTTP_ACK_DELAY;
    // The next long-poll carries the SACK.
    const received = this.receiver.receive(transport, message, isPrimary && kind !== 'long-poll' ? maxDelay : 0, now);
    if (received === 'overflow') return 'violation';
    if (VERSION_3 && received === 'conflict') return received;
    transport.nextIn += 1;
    return received === 'duplicate' ? 'duplicate' : this.#accept('progress');
  }

  /** Frees acknowledged messages and reports them in `outputs`; a SACK of unsent messages is a violation. */
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

  /** Records a SACK of unsent messages; returns true for the second in a row, which ends the stream. */
  onSackMismatch(): boolean {
    return this.#mismatches++ > 0;
  }

  /** Delivers in-order messages to the application. */
  deliver(outputs: Output[]): void {
    for (let message; (message = this.receiver.pop()) !== undefined; ) {
      outputs.push({ do: 'deliver', message, number: this.#first + this.counts.received++ });
    }
  }

  /** Takes the frames that may be written to `carrier` now: messages, and behind them the reset. */
  takeFrames(carrier: Transport, now: number): OutFrame[] {
    if (carrier.closing || carrier.resetSent) return [];
    const frames = this.#inFlight.takeFrames(carrier, this.#queue, this.takeReset(carrier), now);
    if (!VERSION_3) return frames;
    const { renewal } = this;
    this.renewal = [];
    return [...renewal, ...frames];
  }

  /** Takes the reset frame, once for each transport; none before a reset. */
  takeReset(transport: Transport): string[] {
    if (!this.resetting || transport.resetSent) return [];
    transport.resetSent = true;
    return [`${this.resetting.reason}|${VERSION_3 && !this.resetting.applicationLevel ? 0 : 1}!`];
  }

  /**
   * Returns frames of the first unacknowledged messages, at most `room` bytes in total, and the reset. A reset that waits
   * for acknowledgements is included if all messages are.
   */
  finalFrames(upload: Transport, room: number): OutFrame[] {
    const frames: OutFrame[] = [];
    let next = -1;
    for (const [number, message] of this.#queue.iterFrom(0)) {
      // Frame type, line ends, and a preceding SeqNum frame.
      room -= byteLength(message) + 20;
      if (room < 0) return [...frames, ...this.takeReset(upload)];
      if (number !== next) frames.push(`${number}N`);
      frames.push(encodeMessage(message));
      next = number + 1;
    }
    return [...frames, ...(this.closing && !this.resetting ? [`${this.closing.reason}|1!`] : this.takeReset(upload))];
  }

  /** SACK text of the messages that the server has acknowledged. */
  get seenAck(): string {
    return formatSack(this.#queue.sack());
  }

  /** True if version 2 can carry all unacknowledged messages. */
  get isForVersion2(): boolean {
    return !VERSION_3 || [...this.#queue.iterFrom(0)].every(([, message]) => isForVersion2(message));
  }

  /** True while sent messages are unacknowledged. */
  get hasUnacked(): boolean {
    return this.#queue.length > 0;
  }

  /** Bytes of unacknowledged messages. */
  get unackedBytes(): number {
    return this.#queue.bytes;
  }

  #accept(result: FrameResult): FrameResult {
    this.#mismatches = 0;
    return result;
  }
}
