// The handle of one stream: its properties, receiving and sending.
import type { SetLimits } from './contract.js';
import { OutboxFullError, SettingError } from './errors.js';
import {
  type Accepts, type Content, type Ended, type Event, type Identity, type TransportKind, acceptsOf, headersOf, identityOf, transportOf,
} from './events.js';
import { type Cell, type Instance, Phase, sendErrorOf } from './instance.js';
import { QueueError, TooManyGroupsError } from './session/errors.js';
import type { StreamState } from './session/stream.js';
import { shortHash } from './short_hash.js';

/** Longest reason, in bytes. */
const MAX_REASON = 255;
const WEEK_MS = 604_800_000;
/** Reset reason when a handler fails. Fixed, because the text of an error may be confidential. */
const FAILED = 'the application failed';

/** Messages that the client has acknowledged and that a reloaded page may request again. A limit of 0 retains none. */
export interface Retention {
  /** At most 10,000. */
  readonly messages: number;
  /** At most 2 MiB. */
  readonly bytes: number;
  /** Time since the acknowledgement in ms, at most a week. */
  readonly age: number;
  /** Nothing is written to a new generation before its `rejoined` event is acknowledged. */
  readonly hold?: boolean;
}

type EventNumber = number | { readonly event: number };

/**
 * One client's stream: ordered, reliable, in both directions.
 *
 * *Acknowledgement*: asking for the next event or message acknowledges the previous one. Unacknowledged events are delivered
 * again after a crash of this process, to any instance. `acknowledgeManually` leaves it to the app.
 *
 *     service.run(async (stream) => {
 *       for await (const message of stream) await stream.send(message);
 *     });
 */
export class Stream implements AsyncIterable<Content> {
  readonly #cell: Cell;
  readonly #instance: Instance;
  /** The last event returned to the handler, acknowledged by the next request. Started is event 0. */
  #unfinished: number | null;
  #isOver = false;
  #isAutomatic = true;
  #isClosed = false;

  /** Made by the service. */
  constructor(cell: Cell, instance: Instance) {
    this.#cell = cell;
    this.#instance = instance;
    this.#unfinished = cell.started.next_event === '0' ? 0 : null;
  }

  // Properties.

  /** Number of the stream, unique in a deployment. */
  get number(): bigint {
    return BigInt(this.#cell.number);
  }

  /** Id of the stream, a secret of client and server: never log it. `toString` shows a short hash. */
  get id(): string {
    return this.#cell.started.stream_id;
  }

  /**
   * Whether an instance had the stream before, in this or another process. That instance may have answered messages that are
   * not delivered again.
   */
  get isResumed(): boolean {
    return this.#cell.started.resumed;
  }

  /** The first unacknowledged event at the assignment; 0, the start, for a new stream. */
  get firstEvent(): number {
    return Number(this.#cell.started.next_event);
  }

  /**
   * Deliveries of the first unacknowledged event at the assignment, this one included: 1, and 1 more for each instance that died
   * with that event in delivery. Undefined with a core of release 0.1.
   */
  get attempts(): number | undefined {
    return this.#cell.started.attempts || undefined;
  }

  /** Number of the first message sent here; 0 if none was sent to this stream before. */
  get firstSend(): number {
    return Number(this.#cell.started.next_send);
  }

  /** Number of the next message. Throws StreamOverError. */
  get nextSend(): number {
    return this.#now(() => this.#instance.session.nextSend(this.#cell.number));
  }

  /** The credentials of the client, `cred` in the hello: a secret. */
  get credentials(): string {
    return this.#cell.started.credentials;
  }

  /** The identity of the client at the assignment, if the core verifies tokens. */
  get identity(): Identity | undefined {
    const { identity } = this.#cell.started;
    return identity ? identityOf(identity) : undefined;
  }

  /** The request headers of the first transport that the edges forward; names in lower case. */
  get headers(): [string, string][] {
    return headersOf(this.#cell.started.headers);
  }

  /** Value of the first header with this lower-case name. */
  header(name: string): string | undefined {
    return this.headers.find(([other]) => other === name)?.[1];
  }

  /** Address of the client at the start of the stream, without the port. */
  get peerAddress(): string {
    return this.#cell.started.peer_address;
  }

  /** The protocol that carried the first hello; undefined if newer than this SDK. */
  get transport(): TransportKind | undefined {
    return transportOf(this.#cell.started.transport);
  }

  /** Start of the stream, by the core's clock. */
  get startedAt(): Date {
    return new Date(Number(this.#cell.started.started_at_ms));
  }

  /** The label at the assignment. */
  get label(): string | undefined {
    return this.#cell.started.label || undefined;
  }

  /** The groups at the assignment. */
  get groups(): string[] {
    return [...this.#cell.started.groups];
  }

  /** The messages that the client accepts: `ascii` is text of the bytes 0x20-0x7E only. */
  get accepts(): Accepts {
    return acceptsOf(this.#cell.started.accepts);
  }

  /**
   * The end of the stream; undefined while the stream lives, and for a released stream. Known before a slow reader reaches the
   * end.
   */
  get ended(): Ended | undefined {
    return this.#cell.ended;
  }

  toString(): string {
    return `stream ${this.number} (${shortHash(this.id)})`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  // Receiving.

  async *[Symbol.asyncIterator](): AsyncIterator<Content> {
    for (let content = await this.recv(); content !== null; content = await this.recv()) yield content;
  }

  /** Waits for the next message; null when the stream is over or the service is stopped. */
  async recv(): Promise<Content | null> {
    for (let event = await this.nextEvent(); event; event = await this.nextEvent()) {
      if (event.type === 'message') return event.content;
    }
    return null;
  }

  /** The events, the last one being `ended` or `released`. */
  async *events(): AsyncIterable<Event> {
    for (let event = await this.nextEvent(); event; event = await this.nextEvent()) yield event;
  }

  /** Waits for the next event; null after `ended` or `released`. One call at a time. */
  async nextEvent(): Promise<Event | null> {
    if (this.#isAutomatic && this.#unfinished !== null) {
      this.acknowledge(this.#unfinished);
      this.#unfinished = null;
    }
    if (this.#isOver) return null;
    const event = await this.#instance.read(this.#cell);
    if (event.type === 'ended' || event.type === 'released') this.#isOver = true;
    this.#unfinished = 'event' in event ? event.event : null;
    return event;
  }

  /**
   * Turns automatic acknowledgement off: from now on `acknowledge` acknowledges events, and the end of the handler the end of
   * the stream.
   */
  acknowledgeManually(): void {
    this.#isAutomatic = false;
  }

  /**
   * Acknowledges all events up to `event`, which are then never delivered again. The acknowledgement reaches the core together
   * with the messages sent before, or after they are durable.
   */
  acknowledge(event: EventNumber): void {
    this.#instance.tryChange(this.#cell, (stream) => stream.acknowledge(numberOf(event)));
  }

  // Sending.

  /**
   * Queues a message, and waits for room if the client is behind. Messages travel in the order of queueing. They are kept until
   * they are durable and are repeated after a lost call; the core takes each once. Rejects with SendError.
   */
  async send(content: Content): Promise<void> {
    this.#instance.check(this.#cell, content);
    await this.#instance.wait(this.#cell, () => this.#instance.change(this.#cell, (stream) => stream.send(content, true)));
  }

  /** Queues a message at once, even while the stream is paused. Throws OutboxFullError or another SendError. */
  trySend(content: Content): void {
    this.#instance.check(this.#cell, content);
    this.#now(() => this.#instance.change(this.#cell, (stream) => stream.send(content, false)));
  }

  /** Sends a value as JSON in ASCII, which clients of every version accept. */
  async sendJson(value: unknown): Promise<void> {
    const escape = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
    await this.send(JSON.stringify(value).replace(/[^ -~]/g, escape));
  }

  /**
   * Queues a message and acknowledges an event in one step: the core takes both or neither, so that an event redelivered after a
   * crash has no answer yet. Rejects with SendError; the event then stays unacknowledged.
   */
  async answer(event: EventNumber, content: Content): Promise<void> {
    this.#instance.check(this.#cell, content);
    const answer = (stream: StreamState) => stream.answer(numberOf(event), content);
    await this.#instance.wait(this.#cell, () => this.#instance.change(this.#cell, answer));
  }

  /**
   * Queues an answer of several messages; the last one acknowledges the event. `first` is the number of the first part
   * (`nextSend`), which the app has stored with the effects of the event. Parts that an earlier process has sent are skipped.
   * The answer to an event must be the same at each delivery, and nothing else may be sent between.
   */
  async answerParts(event: EventNumber, first: number, parts: Iterable<Content>): Promise<void> {
    const unsent = [...parts].slice(Math.max(this.firstSend - first, 0));
    const last = unsent.pop();
    for (const part of unsent) await this.send(part);
    if (last === undefined) this.acknowledge(event);
    else await this.answer(event, last);
  }

  /** Waits until `send` would queue a message at once. Rejects with SendError. */
  async ready(): Promise<void> {
    const { session } = this.#instance;
    await this.#instance.wait(this.#cell, () => session.change(this.#cell.number, (stream) => stream.checkRoom(true)));
  }

  /**
   * Waits until all messages queued before this call are durable: they reach the client despite crashes of this app and of
   * cores, unless the stream ends. Rejects with SendError.
   */
  async durable(): Promise<void> {
    const end = this.nextSend;
    await this.#instance.wait(this.#cell, () => {
      if (this.#instance.session.confirmed(this.#cell.number) < end) throw new QueueError('no room');
    });
  }

  /**
   * Ends the stream once the client has acknowledged all messages queued before. The stream accepts no messages from now on. The
   * client receives the reason, or `finished`. Returning from a handler finishes the stream as well.
   */
  finish(reason = ''): void {
    checkReason(reason);
    this.#instance.tryChange(this.#cell, (stream) => stream.finish(reason));
  }

  /**
   * Ends the stream at once for both sides. Messages that the client has not received are dropped; `finish` delivers them first.
   * `applicationLevel` false marks a failure below the application.
   */
  reset(reason: string, { applicationLevel = true } = {}): void {
    checkReason(reason);
    this.#instance.tryChange(this.#cell, (stream) => stream.reset(reason, applicationLevel));
  }

  // Settings.

  /** Sets the lifetime of the stream without any transport, from 1 ms to a week. */
  setMaxIdle(ms: number): void {
    this.#setLimits({ max_idle_ms: clamp(ms, 1, WEEK_MS) });
  }

  /**
   * Sets the longest time in ms without an acknowledgement of a delivered event, at most a week; 0 for no limit. Then the stream
   * moves to another instance; without one, or after a move without an acknowledgement, the stream ends with the reason
   * `application timeout`. Holds for this instance.
   */
  setAckTimeout(ms: number): void {
    this.#setLimits({ ack_timeout_ms: clamp(ms, 0, WEEK_MS) });
  }

  /** Sets the outbox limits: at most 6 MiB and 100,000 messages. */
  setOutbox(bytes: number, messages: number): void {
    this.#setLimits({ outbox_bytes: clamp(bytes, 1, 6 << 20), outbox_messages: clamp(messages, 1, 100_000) });
  }

  /**
   * Permits the edge to compress messages to the client, or forbids it again. Not for streams that mix secrets with text of
   * another party: the length of compressed bytes depends on the content (the attack BREACH).
   */
  setCompression(compress: boolean): void {
    this.#setLimits({ compress });
  }

  /** Sets the acknowledged messages that the core retains for new generations of the client. */
  setRetention({ messages, bytes, age, hold = false }: Retention): void {
    this.#setLimits({
      retained_messages: clamp(messages, 0, 10_000),
      retained_bytes: clamp(bytes, 0, 2 << 20),
      retained_age_ms: clamp(age, 0, WEEK_MS),
      hold,
    });
  }

  /**
   * Sets the label by which `Streams` addresses the stream, such as a user name; empty removes it. Waits until the label is
   * durable and visible to the callers of all cores.
   */
  async setLabel(label: string): Promise<void> {
    if (!/^[ -~]{0,256}$/.test(label)) throw new SettingError('a label has at most 256 bytes, 0x20-0x7E only');
    await this.#changeSetting((stream) => stream.settings.setLabel(label));
  }

  /**
   * Adds the stream to a group of its service for the rest of its life, and waits as `setLabel` does. A later send to the group,
   * by any program, reaches the stream.
   */
  async join(group: string): Promise<void> {
    checkGroup(group);
    const tooMany = new SettingError('a stream is in at most 64 groups');
    try {
      await this.#changeSetting((stream) => stream.settings.join(group));
    } catch (error) {
      throw error instanceof TooManyGroupsError ? tooMany : error;
    }
    if (this.#instance.session.isGroupRefused(this.#cell.number, group)) throw tooMany;
  }

  /** Removes the stream from a group, and waits as `setLabel` does. */
  async leave(group: string): Promise<void> {
    checkGroup(group);
    await this.#changeSetting((stream) => stream.settings.leave(group));
  }

  /**
   * Ends the work of this handle: finishes a live stream, or resets the stream of a failed handler; later events are
   * acknowledged unread. During a stop the stream goes on elsewhere instead. `Service.run` does this after a handler.
   */
  close({ succeeded = true } = {}): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#instance.phase === Phase.Running) {
      const end = (stream: StreamState) => (succeeded ? stream.finish('') : stream.reset(FAILED, false));
      this.#instance.tryChange(this.#cell, end);
      this.#instance.tryChange(this.#cell, (stream) => stream.abandon());
    } else if (this.ended) {
      this.#instance.tryChange(this.#cell, (stream) => stream.abandon());
    }
    this.#instance.onReaderClosed();
  }

  async #changeSetting(change: (stream: StreamState) => number): Promise<void> {
    let number: number | null = null;
    await this.#instance.wait(this.#cell, () => {
      number ??= this.#instance.change(this.#cell, change);
      if (!this.#instance.session.isChangeConfirmed(this.#cell.number, number)) throw new QueueError('no room');
    });
  }

  #setLimits(limits: SetLimits): void {
    this.#instance.tryChange(this.#cell, (stream) => stream.settings.setLimits(limits));
  }

  /** Attempts something without waiting. Throws SendError. */
  #now<T>(attempt: () => T): T {
    try {
      this.#instance.checkHeld(this.#cell);
      return attempt();
    } catch (error) {
      if (!(error instanceof QueueError)) throw error;
      throw error.problem === 'no room' ? new OutboxFullError() : sendErrorOf(error);
    }
  }
}

function numberOf(event: EventNumber): number {
  return typeof event === 'number' ? event : event.event;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(Math.round(value), least), most);
}

function checkReason(reason: string): void {
  const isValid = reason.length <= MAX_REASON && /^[ -~]*$/.test(reason);
  if (!isValid) throw new SettingError(`a reason has at most ${MAX_REASON} bytes, 0x20-0x7E only`);
}

function checkGroup(group: string): void {
  if (!/^[!-~]{1,128}$/.test(group)) throw new SettingError('a group name has 1 to 128 bytes, 0x21-0x7E only');
}
