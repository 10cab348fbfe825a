// Send side of one stream: numbered messages kept until the core confirms them, and the send credit granted by the core.
// Pure; owned by the stream.
import type { Long, Send, SendRefused, SendState } from '../contract.js';
import type { Content } from '../events.js';
import { ContractError } from './errors.js';
import { sizeOf } from './incoming.js';

/** Most bytes of messages in one Send, unless a single message is longer. Small enough that streams take turns. */
const MAX_SEND_BYTES = 128 * 1024;
/** Most messages in one Send. Larger batches gain nothing. */
const MAX_SEND_MESSAGES = 1024;

interface Entry {
  readonly content: Content;
  readonly size: number;
}

/** A Send in flight. */
interface InFlight {
  readonly first: number;
  readonly end: number;
  /** Carries an acknowledgement, which a refusal discards. */
  readonly acknowledges: boolean;
  /** An earlier Send was refused, so the core will refuse this one as out of order. */
  willBeRefused: boolean;
}

/** The unconfirmed messages of one stream. */
export class Outgoing {
  /** All messages below are durable. */
  confirmed: number;
  creditMessages = 0;
  isPaused = false;
  /** The unconfirmed messages, from `confirmed` on. */
  private queue: Entry[] = [];
  private bytes = 0;
  /** Number of the first message not sent on this attachment, and the bytes of the messages before it. */
  private sent: number;
  private sentBytes = 0;
  private inFlight: InFlight[] = [];
  private creditBytes = 0;

  constructor(nextSend: number, state: SendState | null) {
    this.confirmed = this.sent = nextSend;
    this.grant(state);
  }

  /** Starts a new attachment at the next number expected by the core, which is within the queue. */
  resume(nextSend: number, state: SendState | null): void {
    this.inFlight = [];
    this.free(nextSend);
    this.sent = this.confirmed;
    this.sentBytes = 0;
    this.grant(state);
  }

  /** Ends the attachment. */
  detach(): void {
    this.inFlight = [];
  }

  /** Number of the next message. */
  get next(): number {
    return this.confirmed + this.queue.length;
  }

  get isEmpty(): boolean {
    return this.queue.length === 0;
  }

  /** The queued messages. */
  contents(): Content[] {
    return this.queue.map(({ content }) => content);
  }

  /** Whether a message below `limit` can be sent now. */
  isReady(limit: number): boolean {
    const hasCredit = this.sentBytes < this.creditBytes && this.sent - this.confirmed < this.creditMessages;
    return this.sent < Math.min(this.next, limit) && hasCredit;
  }

  /** Whether one more message may be queued. */
  get hasRoom(): boolean {
    return this.bytes < this.creditBytes && this.queue.length < this.creditMessages;
  }

  /** Queues a message and returns its number. The caller has checked `hasRoom`. */
  push(content: Content): number {
    const size = sizeOf(content);
    this.queue.push({ content, size });
    this.bytes += size;
    return this.next - 1;
  }

  /** Drops all messages, because the stream is over. */
  clear(): void {
    this.confirmed = this.sent = this.next;
    this.queue = [];
    this.inFlight = [];
    this.bytes = this.sentBytes = 0;
    this.grant(null);
  }

  /**
   * Takes the next Send of messages below `limit`, within the credit. `acknowledge` maps the end of the Send to the event that
   * the Send acknowledges.
   */
  take(stream: Long, limit: number, hasKinds: boolean, acknowledge: (end: number) => number | undefined): Send | null {
    const batch = this.nextBatch(limit);
    if (batch.length === 0) return null;
    const send: Send = { stream, first: this.sent, messages: [], contents: [] };
    for (const { content, size } of batch) {
      this.sentBytes += size;
      if (!hasKinds) send.messages.push(Buffer.from(content as string));
      else send.contents.push(typeof content === 'string' ? { text: content } : { binary: Buffer.from(content) });
    }
    this.sent += batch.length;
    const event = acknowledge(this.sent);
    if (event !== undefined) send.acknowledge = event;
    this.inFlight.push({ first: send.first, end: this.sent, acknowledges: event !== undefined, willBeRefused: false });
    return send;
  }

  /**
   * Selects messages for one Send. A message that starts within the credit and exceeds the credit travels alone: the core
   * accepts a single message, but may refuse a longer batch.
   */
  private nextBatch(limit: number): Entry[] {
    const batch: Entry[] = [];
    let [size, offset, count] = [0, this.sentBytes, this.sent - this.confirmed];
    const end = Math.min(this.queue.length, limit - this.confirmed);
    for (let index = count; index < end; index += 1) {
      if (offset >= this.creditBytes || count >= this.creditMessages) break;
      const entry = this.queue[index]!;
      [offset, size, count] = [offset + entry.size, size + entry.size, count + 1];
      const endsBatch = offset > this.creditBytes || size > MAX_SEND_BYTES || batch.length === MAX_SEND_MESSAGES;
      if (endsBatch && batch.length > 0) break;
      batch.push(entry);
      if (endsBatch) break;
    }
    return batch;
  }

  /** Applies a confirmation and the new credit. */
  confirm(state: SendState): void {
    const next = Number(state.next_send);
    if (next < this.confirmed || next > this.next) throw new ContractError('a send number outside of the queued range');
    this.free(next);
    this.inFlight = this.inFlight.filter(({ end }) => end > next);
    this.grant(state);
  }

  /**
   * Rewinds after a refused Send; the core refuses all later Sends in flight as well. Returns whether one of these carried an
   * acknowledgement. That acknowledgement must be repeated at once, because the messages are sent again before the refusals
   * arrive.
   */
  refuse(refused: SendRefused): boolean {
    const [first, next] = [Number(refused.first), Number(refused.next_send)];
    if (next < this.confirmed) throw new ContractError('a send number outside of the queued range');
    const position = this.inFlight.findIndex((send) => send.first === first);
    const send = this.inFlight[position];
    if (!send) return false;
    this.inFlight.splice(0, position + 1);
    if (refused.reason !== 'SEND_REFUSED_REASON_OUT_OF_ORDER') {
      // Until the next SendState. An unknown reason of a later core counts as a full outbox.
      this.grant(null);
      this.isPaused = true;
    }
    if (send.willBeRefused) return false;
    for (const later of this.inFlight) later.willBeRefused = true;
    this.sent = Math.min(next, this.sent);
    this.sentBytes = this.queue.slice(0, this.sent - this.confirmed).reduce((sum, { size }) => sum + size, 0);
    return send.acknowledges || this.inFlight.some(({ acknowledges }) => acknowledges);
  }

  /** Frees all messages below `nextSend`, which is at most the end of the queue. */
  private free(nextSend: number): void {
    if (nextSend <= this.confirmed) return;
    const freed = this.queue.splice(0, nextSend - this.confirmed).reduce((sum, { size }) => sum + size, 0);
    this.confirmed = nextSend;
    this.bytes -= freed;
    this.sentBytes = Math.max(this.sentBytes - freed, 0);
    this.sent = Math.max(this.sent, this.confirmed);
  }

  private grant(state: SendState | null): void {
    this.creditBytes = state?.bytes_left ?? 0;
    this.creditMessages = state?.messages_left ?? 0;
    this.isPaused = state?.paused ?? false;
  }
}
