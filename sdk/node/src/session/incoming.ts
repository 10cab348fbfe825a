// Receive side of one stream: queues events for the handler in order, each once. Tracks the events delivered on the current
// attachment, because only those can be acknowledged there. Pure; owned by the stream.
import type { Content, Ended, Event, Rejoined, TransportChanged } from '../events.js';
import { MAX_MESSAGE } from './calls.js';
import { ContractError } from './errors.js';

/** Most `transport` events queued for a slow handler; the oldest are dropped. */
const MAX_CHANGES = 64;
/** Most messages queued for a slow handler. Well above the inbox limit of any core. */
const MAX_MESSAGES = 65_536;

/** Length of a message in bytes. */
export function sizeOf(content: Content): number {
  return typeof content === 'string' ? Buffer.byteLength(content) : content.length;
}

/** The queued events of one stream. */
export class Incoming {
  /** Number of the first event not received before. All events below have been queued or read. */
  expected: number;
  /** All events below were delivered on this attachment or acknowledged before; at most `expected`. */
  delivered: number;
  private queue: Event[] = [];
  private bytes = 0;
  private changes = 0;

  constructor(nextEvent: number) {
    // Event 0 is Started, which has been received by now.
    this.expected = this.delivered = Math.max(nextEvent, 1);
  }

  /** Starts a new attachment, on which the core delivers from `nextEvent` on; at most `expected`. */
  resume(nextEvent: number): void {
    this.delivered = Math.min(Math.max(nextEvent, 1), this.expected);
  }

  /** Queues messages. Returns whether any of them is new. */
  onMessages(first: number, contents: readonly Content[], attempts: number | undefined, window: number): boolean {
    const end = this.check(first, contents.length);
    const isNew = end > this.expected;
    for (const [index, content] of contents.entries()) {
      const event = first + index;
      if (event < this.expected) continue;
      // One message may exceed the window, so the maximal message length is added.
      if (this.bytes > window + MAX_MESSAGE || this.queue.length > MAX_MESSAGES) {
        throw new ContractError('unacknowledged messages of a stream exceed its window');
      }
      this.bytes += sizeOf(content);
      this.expected = event + 1;
      this.queue.push({ type: 'message', event, content, attempts });
    }
    this.delivered = Math.max(this.delivered, end);
    return isNew;
  }

  /** Queues a `rejoined` or the last event, and returns whether the event is new. */
  onEvent(event: Rejoined | Ended): boolean {
    const end = this.check(event.event, 1);
    const isNew = end > this.expected;
    if (isNew) {
      if (this.queue.length > MAX_MESSAGES) throw new ContractError('unacknowledged events of a stream exceed its window');
      this.expected = end;
      this.queue.push(event);
    }
    this.delivered = Math.max(this.delivered, end);
    return isNew;
  }

  /** Drops events from `first` on: the core has lost an event that was received before. */
  skip(first: number, count: number): void {
    const end = this.check(first, count);
    this.expected = Math.max(this.expected, end);
    this.delivered = Math.max(this.delivered, end);
  }

  /**
   * Ends the stream before events that were received already: the core has lost those events. The handler reads the end after
   * them; the core gets an acknowledgement of the number it sent.
   */
  endEarly(event: number, ended: Ended): void {
    this.queue.push({ ...ended, event: this.expected });
    this.expected += 1;
    this.delivered = Math.min(event + 1, this.expected);
  }

  onChange(change: TransportChanged): void {
    if (this.changes === MAX_CHANGES) this.queue.splice(this.queue.findIndex(({ type }) => type === 'transport'), 1);
    else this.changes += 1;
    this.queue.push(change);
  }

  /** Takes the next event for the handler. */
  pop(): Event | undefined {
    const event = this.queue.shift();
    if (event?.type === 'message') this.bytes -= sizeOf(event.content);
    if (event?.type === 'transport') this.changes -= 1;
    return event;
  }

  /** Drops all queued events, because no handler reads them. */
  clear(): void {
    this.queue = [];
    this.bytes = this.changes = 0;
  }

  private check(first: number, count: number): number {
    if (first > this.expected) throw new ContractError('an event number was skipped');
    return first + count;
  }
}
