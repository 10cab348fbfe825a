// The state of one stream in an app instance: received events, queued messages, acknowledgements and settings. Pure; used by
// the session only.
//
// An acknowledgement never overtakes messages that were sent earlier, but travels in the same Send, or waits until those
// messages are durable. A crash of the app therefore loses no effect of an acknowledged event.
import type { Command, Held, Long, SendRefused, SendState, Started } from '../contract.js';
import { InvalidTextError, MessageTooLongError, type SendError, UnsupportedMessageError } from '../errors.js';
import { type Accepts, type Content, type Ended, type Event, type Rejoined, type TransportChanged, acceptsOf } from '../events.js';
import { Answers } from './answers.js';
import type { CallId, CoreTraits } from './calls.js';
import { QueueError } from './errors.js';
import { EventTags, differ } from './event_tags.js';
import { Incoming, sizeOf } from './incoming.js';
import { Outgoing } from './outgoing.js';
import { Settings } from './settings.js';
import type { Attachment } from './tombstones.js';

/** Reset reason if the core lost confirmed messages, and end reason if the core lost the stream. */
const STATE_LOST = 'state lost';
/** Reset reason if the stream moves to a core with a lower message limit than a queued message. */
const TOO_LONG = 'message too long';
/** Reset reason if the stream moves to a core without the kind of a queued message, and if a core refuses the kind. */
const UNSUPPORTED = 'unsupported message';
/** Reset reason if the core has refused a send as invalid. */
const INVALID = 'invalid message';
/** Reset reason of a finished stream at a core without Finish. */
const FINISHED = 'finished';

/** A reset by the app, sent once per attachment until the stream ends. */
interface PendingReset {
  readonly reason: string;
  readonly applicationLevel: boolean;
  isSent: boolean;
}

/** A finish by the app, sent once per attachment until the stream ends. */
interface PendingFinish {
  readonly reason: string;
  /** Events below were acknowledged by the handler before. Only these are acknowledged before the finish is sent. */
  readonly handled: number;
  isSent: boolean;
}

/** The state of one stream. */
export class StreamState {
  readonly number: Long;
  /** Number of the assignment, as in the handle of the stream; 0 without a handle. */
  assignment = 0;
  /** The call on which Started arrived; null while detached. */
  attachment: Attachment | null;
  /** No core knows the stream any more. */
  isLost = false;
  readonly settings = new Settings();
  /** Is in the session's list of streams with commands ready. */
  isScheduled = false;
  private readonly coreAssignment: Long;
  /** The identity: after a rollback of the store another stream may have the same number. */
  private readonly id: string;
  private readonly startedAt: Long;
  private readonly createdTag: Long;
  private readonly incoming: Incoming;
  private readonly eventTags = new EventTags();
  private readonly outgoing: Outgoing;
  private sendTag: Long;
  /** The core has lost an event that was received. The stream is reset, and later messages are dropped. */
  private hasLostEvents = false;
  private readonly answers = new Answers();
  private accepts: Accepts;
  /** The reader is gone: events are acknowledged unread. */
  private isAbandoned = false;
  /** All events below are acknowledged by the handler; at most `expected`. */
  private handled: number;
  /** Messages below this number must be durable before `handled` is acknowledged. */
  private barrier = 0;
  /** All events below are acknowledged on this attachment, or were when the attachment began. */
  private ackSent: number;
  /** Number of the `ended` event, once received. */
  private ended: number | null = null;
  /** The core accepts no more messages on this attachment: Ended or Released follows. */
  private isClosing = false;
  private pendingReset: PendingReset | null = null;
  private pendingFinish: PendingFinish | null = null;

  constructor(started: Started, call: CallId, private core: CoreTraits) {
    this.number = started.stream;
    this.attachment = { call, epoch: BigInt(started.epoch) };
    this.coreAssignment = started.assignment;
    this.id = started.stream_id;
    this.startedAt = started.started_at_ms;
    this.createdTag = started.created_tag;
    this.incoming = new Incoming(Number(started.next_event));
    this.outgoing = new Outgoing(Number(started.next_send), started.send_state);
    this.sendTag = started.send_state?.tag ?? '0';
    this.accepts = acceptsOf(started.accepts);
    this.handled = this.ackSent = Number(started.next_event);
  }

  /**
   * Restores a stream from a tombstone, after the core has started the stream again. If the acknowledgement of the end was
   * lost, the core repeats the end. If the store has lost the end, the client may still be connected without a handler to read
   * the messages, so the stream is reset.
   */
  static afterTombstone(started: Started, call: CallId, core: CoreTraits): StreamState {
    const stream = new StreamState(started, call, core);
    stream.isAbandoned = true;
    stream.reset(STATE_LOST, false);
    return stream;
  }

  /**
   * The stream as an instance has finished it before: all events are acknowledged unread. A core that keeps the finish in
   * memory forgets it with the ownership; it is then repeated with its reason.
   */
  static finishedBefore(started: Started, call: CallId, core: CoreTraits): StreamState {
    const stream = new StreamState(started, call, core);
    stream.pendingFinish = { reason: started.finish_reason, handled: stream.handled, isSent: true };
    stream.abandon();
    return stream;
  }

  // Attachments.

  /** Whether Started is about this stream, and not about a later one with the same number. */
  isSame(started: Started): boolean {
    const isSameStart = this.id === started.stream_id && this.startedAt === started.started_at_ms;
    return isSameStart && !differ(this.createdTag, started.created_tag);
  }

  isAttachedTo(call: CallId): boolean {
    return this.attachment?.call === call;
  }

  /** Detaches from the call: no command may be sent before the next Started. */
  detach(): void {
    this.attachment = null;
    this.isClosing = this.isScheduled = false;
    this.outgoing.detach();
    if (this.pendingReset) this.pendingReset.isSent = false;
    if (this.pendingFinish) this.pendingFinish.isSent = false;
    this.settings.detach();
  }

  /**
   * Applies a repeated Started on this call. Returns false if the held state is void: another instance had the stream
   * meanwhile, or the number belongs to another stream.
   */
  resume(started: Started, call: CallId, core: CoreTraits): boolean {
    const [nextEvent, nextSend] = [Number(started.next_event), Number(started.next_send)];
    const state = started.send_state;
    if (!this.isSame(started) || differ(this.coreAssignment, started.assignment)) return false;
    if (nextEvent > this.incoming.expected || nextSend > this.outgoing.next) return false;
    this.detach();
    this.attachment = { call, epoch: BigInt(started.epoch) };
    this.core = core;
    this.accepts = acceptsOf(started.accepts);
    if (this.pendingFinish && started.finishing) this.pendingFinish.isSent = true;
    this.incoming.resume(nextEvent);
    this.ackSent = nextEvent;
    if (this.ended !== null) {
      this.outgoing.clear();
    } else if (nextSend >= this.outgoing.confirmed && !this.hasLostSends(state)) {
      this.sendTag = state?.tag ?? '0';
      this.outgoing.resume(nextSend, state);
      this.answers.free(this.outgoing.confirmed);
      this.resetIfUnacceptable();
    } else {
      this.discardSendsAndReset(STATE_LOST);
    }
    return true;
  }

  /** The progress to report to the next core; null if no claim tag is known. */
  held(): Held | null {
    // The numbers of an ended or reset stream are not those of received events and confirmed messages.
    const [tag, sendTag] = this.isOver ? ['0', '0'] : [this.eventTags.last(), this.sendTag];
    if (this.createdTag === '0' && tag === '0' && sendTag === '0') return null;
    const [nextEvent, nextSend] = this.isOver ? [0, 0] : [this.incoming.expected, this.outgoing.confirmed];
    return {
      stream: this.number, created_tag: this.createdTag, next_event: nextEvent, event_tag: tag, next_send: nextSend, send_tag: sendTag,
    };
  }

  // Events of the core.

  /** Queues messages of the client. Returns whether any of them is new. */
  onMessages(first: number, contents: Content[], tag: Long, attempts: number | undefined, window: number): boolean {
    const { expected } = this.incoming;
    const end = Math.min(first + contents.length, expected);
    if (this.ended === null && this.eventTags.contradict(first, end, tag)) {
      this.hasLostEvents = true;
      this.discardSendsAndReset(STATE_LOST);
    }
    if (this.hasLostEvents) return this.skip(first, contents.length);
    const isNew = this.incoming.onMessages(first, contents, attempts, window);
    if (isNew) this.eventTags.note(expected, tag);
    return this.hasReader() && isNew;
  }

  /** Queues a `rejoined` event. Returns whether the event is new. */
  onRejoined(rejoined: Rejoined): boolean {
    if (this.hasLostEvents) return this.skip(rejoined.event, 1);
    const isNew = this.incoming.onEvent(rejoined);
    return this.hasReader() && isNew;
  }

  private skip(first: number, count: number): false {
    // The core delivers the end behind the messages only within the window, so they are acknowledged unread.
    this.incoming.skip(first, count);
    this.handled = this.incoming.expected;
    this.barrier = 0;
    this.hasReader();
    return false;
  }

  onEnded(ended: Ended): boolean {
    let isNew = true;
    if (this.ended === null && ended.event < this.incoming.expected) {
      this.incoming.endEarly(ended.event, ended);
      this.handled = Math.min(this.handled, ended.event);
    } else {
      isNew = this.incoming.onEvent(ended);
    }
    this.ended = ended.event;
    this.stopSending();
    return this.hasReader() && isNew;
  }

  /**
   * Ends the stream because no core has the stream. Nothing is sent to a core. Returns the end unless the handler gets another
   * one.
   */
  endAsLost(): Ended | null {
    const ended: Ended = { type: 'ended', event: 0, reason: STATE_LOST, applicationLevel: false, by: 'core' };
    this.detach();
    this.isLost = true;
    const isNew = this.ended === null;
    if (isNew) {
      this.ended = this.incoming.expected;
      this.incoming.endEarly(0, ended);
    }
    this.stopSending();
    this.hasReader();
    return isNew ? ended : null;
  }

  onChange(change: TransportChanged): void {
    this.incoming.onChange(change);
    this.hasReader();
  }

  onSendState(state: SendState): void {
    if (this.ended !== null || this.pendingReset) return;
    if (this.hasLostSends(state)) {
      this.discardSendsAndReset(STATE_LOST);
      return;
    }
    this.outgoing.confirm(state);
    this.settings.onSendState(this.core.hasSync);
    this.sendTag = state.tag;
    this.answers.free(this.outgoing.confirmed);
  }

  /** Applies the refusal of a Send. Its acknowledgement is repeated. */
  onRefused(refused: SendRefused): void {
    if (this.ended !== null || this.pendingReset || this.refuse(refused)) this.ackSent = 0;
  }

  private refuse(refused: SendRefused): boolean {
    switch (refused.reason) {
      case 'SEND_REFUSED_REASON_ENDED':
        this.isClosing = true;
        return true;
      case 'SEND_REFUSED_REASON_INVALID':
        this.discardSendsAndReset(INVALID);
        return true;
      case 'SEND_REFUSED_REASON_UNSUPPORTED':
        this.discardSendsAndReset(UNSUPPORTED);
        return true;
      default:
        return this.outgoing.refuse(refused);
    }
  }

  // Calls of the handler.

  /** The error of a message that the core or the client does not accept, so that the message gets no number. */
  problemOf(content: Content): SendError | null {
    if (typeof content === 'string' && !content.isWellFormed()) return new InvalidTextError();
    const length = sizeOf(content);
    if (length > this.core.maxMessage) return new MessageTooLongError(length, this.core.maxMessage);
    if (this.accepts === 'all') return null;
    const position = typeof content === 'string' ? content.search(/[^ -~]/) : undefined;
    return position === -1 ? null : new UnsupportedMessageError(position);
  }

  /** Takes the next event for the handler. */
  read(): Event | undefined {
    return this.incoming.pop();
  }

  /** Acknowledges all events up to `event`. */
  acknowledge(event: number): void {
    const handled = Math.min(event + 1, this.incoming.expected);
    if (handled <= this.handled) return;
    this.handled = handled;
    this.barrier = this.ended === null ? this.outgoing.next : 0;
  }

  /** Queues a message and returns its number. */
  send(content: Content, respectPause: boolean): number {
    this.checkRoom(respectPause);
    return this.outgoing.push(content);
  }

  /** Queues the answer to an event and acknowledges the event. */
  answer(event: number, content: Content): number {
    const number = this.send(content, true);
    this.answers.push(number, event);
    this.acknowledge(event);
    return number;
  }

  /** Throws QueueError unless `send` would queue a message now. */
  checkRoom(respectPause: boolean): void {
    if (this.isOver) throw new QueueError('over');
    if (this.pendingFinish) throw new QueueError('finished');
    if (!this.outgoing.hasRoom || (respectPause && this.outgoing.isPaused)) throw new QueueError('no room');
  }

  /** Whether no more messages are accepted. */
  get isOver(): boolean {
    return this.ended !== null || this.isClosing || this.pendingReset !== null;
  }

  get nextSend(): number {
    return this.outgoing.next;
  }

  /** All messages below are durable. */
  get confirmed(): number {
    return this.outgoing.confirmed;
  }

  /** Ends the stream. The first reason counts. */
  reset(reason: string, applicationLevel: boolean): void {
    if (this.ended === null) this.pendingReset ??= { reason, applicationLevel, isSent: false };
  }

  /** Ends the stream behind the queued messages, and accepts no more. The first reason counts. */
  finish(reason: string): void {
    if (!this.isOver) this.pendingFinish ??= { reason, handled: this.handled, isSent: false };
  }

  /** Drops the reader. */
  abandon(): void {
    this.isAbandoned = true;
    this.hasReader();
  }

  /** Whether everything is sent and confirmed. */
  get isFlushed(): boolean {
    const isSent = (this.pendingReset?.isSent ?? true) && (this.pendingFinish?.isSent ?? true);
    const isConfirmed = this.isOver || (this.outgoing.isEmpty && !this.settings.hasPending);
    return isSent && isConfirmed && this.pendingAck() === null;
  }

  /** Whether the end is acknowledged, so the stream becomes a tombstone. */
  get isEndAcknowledged(): boolean {
    return this.attachment !== null && this.ended !== null && this.ackSent > this.ended;
  }

  /** Whether the stream was lost and the handler has acknowledged the end. */
  get isLostAndAcknowledged(): boolean {
    return this.isLost && this.ended !== null && this.handled > this.ended;
  }

  // Commands to the core.

  /** Whether a command is ready. */
  hasCommands(): boolean {
    if (!this.attachment) return false;
    const hasSends = !this.isClosing && this.outgoing.isReady(this.sendsBelow());
    const hasReset = this.pendingReset !== null && !this.pendingReset.isSent;
    const hasSettings = this.settings.hasCommands(this.core.hasSync);
    return hasSettings || hasSends || hasReset || this.isFinishReady() || this.standaloneAck() !== null;
  }

  /**
   * Takes the next command: settings, messages, reset, finish, acknowledgement, in this order. When the acknowledgement is
   * durable, all settings before it are durable too.
   */
  nextCommand(): Command | null {
    if (!this.attachment) return null;
    const setting = this.settings.nextCommand(this.number, this.core.hasSync);
    return setting ?? this.takeSend() ?? this.takeReset() ?? this.takeFinish() ?? this.takeAck();
  }

  /**
   * An empty Send, if only the answer shows whether the client has acknowledged all messages, or whether changes of the
   * settings are durable: for a core without Finish or Sync.
   */
  probe(): Command | null {
    const isFinishing = this.pendingFinish !== null && !this.pendingFinish.isSent;
    const waitsForEnd = !this.core.hasFinish && isFinishing && !this.isDrained();
    const waitsForChange = !this.core.hasSync && this.settings.awaitsConfirmation;
    if (this.isOver || !this.outgoing.isEmpty || !(waitsForEnd || waitsForChange)) return null;
    return { send: { stream: this.number, first: this.outgoing.next, messages: [], contents: [] } };
  }

  private takeSend(): Command | null {
    if (this.isClosing) return null;
    const pending = this.pendingAck();
    const acknowledge = (end: number) => {
      if (pending === null) return undefined;
      const below = this.barrier <= end ? pending : Math.min(this.answers.acknowledgedAt(end), pending);
      return below > 0 ? below - 1 : undefined;
    };
    const send = this.outgoing.take(this.number, this.sendsBelow(), this.core.hasKinds, acknowledge);
    if (!send) return null;
    if (send.acknowledge !== undefined) this.ackSent = send.acknowledge + 1;
    return { send };
  }

  private takeReset(): Command | null {
    const pending = this.pendingReset;
    if (!pending || pending.isSent) return null;
    pending.isSent = true;
    return { reset: { stream: this.number, reason: pending.reason, application_level: pending.applicationLevel } };
  }

  private takeFinish(): Command | null {
    const pending = this.pendingFinish;
    if (!pending || !this.isFinishReady()) return null;
    pending.isSent = true;
    const { number: stream } = this;
    if (this.core.hasFinish) return { finish: { stream, reason: pending.reason } };
    return { reset: { stream, reason: pending.reason || FINISHED, application_level: true } };
  }

  private takeAck(): Command | null {
    const below = this.standaloneAck();
    if (below === null) return null;
    this.ackSent = below;
    return { acknowledge: { stream: this.number, event: below - 1 } };
  }

  /** Messages below this number may be sent, within the credit. */
  private sendsBelow(): number {
    return this.answers.limit(this.incoming.delivered);
  }

  /** The pending acknowledgement covers all events below this number. */
  private pendingAck(): number | null {
    let below = Math.min(this.handled, this.incoming.delivered);
    if (this.pendingFinish && !this.pendingFinish.isSent) below = Math.min(below, this.pendingFinish.handled);
    // An end numbered before received events is acknowledged together with the last of them.
    if (this.ended !== null && this.handled < this.incoming.expected) below = Math.min(below, this.ended);
    return !this.isLost && below > this.ackSent ? below : null;
  }

  /** The pending acknowledgement, if no message must carry the acknowledgement. */
  private standaloneAck(): number | null {
    return this.isOver || this.barrier <= this.outgoing.confirmed ? this.pendingAck() : null;
  }

  private isFinishReady(): boolean {
    if (!this.pendingFinish || this.pendingFinish.isSent || this.isOver) return false;
    return this.outgoing.isEmpty && (this.core.hasFinish || this.isDrained());
  }

  /** Whether the outbox of a core without Finish is empty, by the reported room. */
  private isDrained(): boolean {
    return this.outgoing.creditMessages >= (this.settings.outboxMessages ?? this.core.outboxMessages);
  }

  /** Whether the last confirmed message has another tag at the core: the core has lost this message. */
  private hasLostSends(state: SendState | null): boolean {
    return state !== null && Number(state.next_send) === this.outgoing.confirmed && differ(this.sendTag, state.tag);
  }

  /** Resets the stream if the core does not accept a queued message. */
  private resetIfUnacceptable(): void {
    for (const content of this.outgoing.contents()) {
      const problem = this.problemOf(content);
      if (!problem) continue;
      this.discardSendsAndReset(problem instanceof MessageTooLongError ? TOO_LONG : UNSUPPORTED);
      return;
    }
  }

  /** Drops queued messages that can never be delivered, and resets the stream. */
  private discardSendsAndReset(reason: string): void {
    this.outgoing.clear();
    this.reset(reason, false);
  }

  private stopSending(): void {
    this.outgoing.clear();
    this.barrier = 0;
    this.pendingReset = this.pendingFinish = null;
  }

  /** Acknowledges all received events if no reader is left. Returns whether a reader exists. */
  private hasReader(): boolean {
    if (this.isAbandoned) {
      this.incoming.clear();
      this.handled = this.incoming.expected;
    }
    return !this.isAbandoned;
  }
}
