// State shared by the calls and the handles of a service: the session and the wake-ups.
import type { Started, ServeResponse } from './contract.js';
import { type SendError, StreamFinishedError, StreamOverError } from './errors.js';
import type { Content, Ended, Event } from './events.js';
import type { CallId } from './session/calls.js';
import { QueueError } from './session/errors.js';
import { Session, type Signal } from './session/session.js';
import type { StreamState } from './session/stream.js';

/** The life of a service: running, then draining by `stop`, then stopped once flushed, or at the deadline. */
export enum Phase {
  Running,
  /** No new streams and no reads; queued messages are flushed. */
  Draining,
  /** All calls have ended. */
  Stopped,
}

/** Wakes all that wait now. */
export class Notify {
  private waiting: (() => void)[] = [];

  notify(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `notify`, or after `ms`. */
  wait(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      if (ms === undefined) {
        this.waiting.push(resolve);
        return;
      }
      const timer = setTimeout(resolve, ms);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** State of one stream outside of the session, used by the handle of the stream. */
export class Cell {
  /** Wakes the reader and the senders. */
  readonly changed = new Notify();
  ended: Ended | undefined;

  constructor(readonly started: Started, readonly assignment: number) {}

  get number(): string {
    return this.started.stream;
  }
}

/** The streams and the phase of a running service. */
export class Instance {
  readonly session: Session;
  phase = Phase.Running;
  /** Wakes those who wait for a phase, for streams, and for the end of the drain. */
  readonly changed = new Notify();
  /** Wakes each call: commands are ready, or the phase has changed. */
  readonly calls = new Map<CallId, () => void>();
  /** The streams that have neither ended nor been released. */
  private readonly cells = new Map<string, Cell>();
  /** Streams not accepted yet. The core bounds their number; the window bounds their size. */
  private arrived: Cell[] = [];
  /** Streams held by handlers. */
  private accepted = 0;
  private wasDrained = false;

  constructor(window: number) {
    this.session = new Session(window);
  }

  /** Goes on to a phase, unless a later one is reached. */
  advance(phase: Phase): void {
    this.phase = Math.max(phase, this.phase);
    for (const cell of this.cells.values()) cell.changed.notify();
    this.wakeCalls();
  }

  async waitForPhase(phase: Phase): Promise<void> {
    while (this.phase < phase) await this.changed.wait();
  }

  /** Waits for a stream to accept; null after a stop. */
  async accept(): Promise<Cell | null> {
    while (this.phase === Phase.Running) {
      const cell = this.arrived.shift();
      if (cell) {
        this.accepted += 1;
        return cell;
      }
      await this.changed.wait();
    }
    return null;
  }

  /** Whether a stop has begun and all work of the handlers was flushed. Stays true: the end of a call detaches its streams. */
  get isDrained(): boolean {
    const isFlushed = this.phase === Phase.Draining && this.accepted === 0 && this.session.isFlushed();
    if (!this.wasDrained && (isFlushed || this.phase === Phase.Stopped)) {
      this.wasDrained = true;
      this.changed.notify();
    }
    return this.wasDrained;
  }

  async untilDrained(): Promise<void> {
    while (!this.isDrained) await this.changed.wait();
  }

  /** During a stop an event of one call may complete the drain of all. */
  private wakeCalls(): void {
    if (this.phase !== Phase.Running) for (const wake of this.calls.values()) wake();
    this.changed.notify();
  }

  // The calls.

  /** Applies the events of a core. Throws ContractError. */
  onResponse(call: CallId, response: ServeResponse): void {
    try {
      for (const event of response.events) this.session.onEvent(call, event);
    } finally {
      for (const signal of this.session.takeSignals()) this.onSignal(signal);
      this.wakeUnsettledCalls();
      if (this.phase !== Phase.Running) this.wakeCalls();
    }
  }

  endCall(call: CallId): void {
    this.session.end(call);
    this.calls.delete(call);
    this.wakeUnsettledCalls();
  }

  private wakeUnsettledCalls(): void {
    for (const call of this.session.unsettledCalls()) this.calls.get(call)?.();
  }

  private onSignal(signal: Signal): void {
    if (signal.type === 'arrived') {
      const cell = new Cell(signal.started, signal.assignment);
      this.cells.set(cell.number, cell);
      this.arrived.push(cell);
      this.changed.notify();
      return;
    }
    const cell = this.cells.get(signal.stream);
    if (!cell) return;
    if (signal.type === 'ended') cell.ended = signal.ended;
    if (signal.type === 'released') this.arrived = this.arrived.filter((other) => other !== cell);
    if (signal.type === 'ended' || signal.type === 'released') this.cells.delete(signal.stream);
    cell.changed.notify();
  }

  // The handles.

  /**
   * Whether the session still holds the stream under the assignment of this handle. A stream that was at another instance
   * meanwhile has a new handle, and the old one must not take its events.
   */
  holds(cell: Cell): boolean {
    return this.session.assignmentOf(cell.number) === cell.assignment;
  }

  /** Waits for the next event of a stream. */
  async read(cell: Cell): Promise<Event> {
    while (this.phase === Phase.Running && this.holds(cell)) {
      const event = this.session.read(cell.number);
      if (event) return event;
      await cell.changed.wait();
    }
    return { type: 'released' };
  }

  /** Applies an input of a handler, and wakes the call that carries the commands. Throws QueueError. */
  change<T>(cell: Cell, then: (stream: StreamState) => T): T {
    this.checkHeld(cell);
    const outcome = this.session.change(cell.number, then);
    const call = this.session.callOf(cell.number);
    if (call !== undefined) this.calls.get(call)?.();
    return outcome;
  }

  /** As `change`, without effect on a stream that this instance no longer holds. */
  tryChange(cell: Cell, then: (stream: StreamState) => unknown): void {
    if (!this.holds(cell) || this.phase === Phase.Stopped) return;
    this.change(cell, then);
    // Waiting senders must check again: the stream may be over for them.
    cell.changed.notify();
  }

  /** Throws QueueError if the handle is dead. */
  checkHeld(cell: Cell): void {
    if (this.phase === Phase.Stopped || !this.holds(cell)) throw new QueueError('over');
  }

  /** Repeats `attempt` until there is room, or the change or message is confirmed. Rejects with SendError. */
  async wait<T>(cell: Cell, attempt: () => T): Promise<T> {
    for (;;) {
      try {
        this.checkHeld(cell);
        return attempt();
      } catch (error) {
        if (!(error instanceof QueueError)) throw error;
        if (error.problem !== 'no room') throw sendErrorOf(error);
      }
      await cell.changed.wait();
    }
  }

  /** Throws if the core or the client does not accept the message. */
  check(cell: Cell, content: Content): void {
    if (typeof content !== 'string' && !(content instanceof Uint8Array)) {
      throw new TypeError(`a message is a string or Uint8Array, not ${typeof content}: encode it, or use sendJson`);
    }
    const problem = this.session.problemOf(cell.number, content);
    if (problem) throw problem;
  }

  /** A handler no longer reads its stream. */
  onReaderClosed(): void {
    this.accepted -= 1;
    this.wakeCalls();
  }
}

export function sendErrorOf(error: QueueError): SendError {
  return error.problem === 'finished' ? new StreamFinishedError() : new StreamOverError();
}
