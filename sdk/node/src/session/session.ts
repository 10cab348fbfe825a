// The session machine: all streams of one app instance, over any number of cores and calls. Events of the cores go in,
// commands for the cores come out, and handlers read and send in between.
//
// Pure: no clock, I/O, randomness or waiting. Calls, tasks and wake-ups belong to the service. The names and the division into
// files are those of the Rust SDK (`sdk/app/src/session`); `sdk/vectors` holds both to one behaviour.
//
// A stream is *attached* to at most one call: the call with its last Started under the highest epoch. Only events of that call
// change the stream, and only that call carries commands. After a new attachment all unacknowledged and unconfirmed commands
// are sent again.
import type { Command, Ended, Event as CoreEvent, Held, Long, Messages, Rejoined, Started } from '../contract.js';
import type { SendError } from '../errors.js';
import { type Content, type Ended as EndedEvent, type Event, changeOf, endedOf, rejoinedOf } from '../events.js';
import { type CallId, Calls, partitionOf } from './calls.js';
import { ContractError, QueueError } from './errors.js';
import { StreamState } from './stream.js';
import { Tombstones, isSame } from './tombstones.js';

/** Most streams of which a registration reports the tags: 2 MB in a request. */
const MAX_HELD = 32_768;
/** The lower bits of a stream number: its position in the count of streams of the partition. */
const COUNT = (1n << 48n) - 1n;

/** A change of one stream, to which the tasks of the service react. */
export type Signal =
  | { type: 'arrived'; stream: Long; started: Started; assignment: number }
  | { type: 'readable' | 'writable' | 'released'; stream: Long }
  | { type: 'ended'; stream: Long; ended: EndedEvent };

/** All streams of one instance. */
export class Session {
  private readonly streams = new Map<Long, StreamState>();
  private readonly tombstones = new Tombstones();
  private readonly calls = new Calls();
  private assignments = 0;
  private signals: Signal[] = [];

  /** `window`: bytes of unacknowledged messages that a core may deliver per stream. */
  constructor(private readonly window: number) {}

  // Calls.

  /** Begins a call. Also returns the held streams that no other call serves, for the registration. */
  begin(): { call: CallId; held: Long[] } {
    const isDetached = (stream: StreamState) => stream.attachment === null && !stream.isLost;
    const held = [...this.streams.values()].filter(isDetached).map(({ number }) => number);
    return { call: this.calls.begin(), held: [...held, ...this.tombstones.detached()] };
  }

  /** The progress on these held streams, as far as claim tags are known. */
  held(numbers: Long[]): Held[] {
    const held = numbers.map((number) => this.streams.get(number)?.held() ?? null);
    return held.filter((one) => one !== null).slice(0, MAX_HELD);
  }

  /** Ends a call and detaches all attached streams. */
  end(call: CallId): void {
    this.calls.end(call);
    for (const stream of this.streams.values()) if (stream.isAttachedTo(call)) stream.detach();
    this.tombstones.detach(call, null);
  }

  /**
   * Calls that must be ended although their events break no contract: a claim was ignored because of a higher epoch that no
   * call announces any more, so a new call must settle the owner.
   */
  unsettledCalls(): CallId[] {
    return this.calls.unsettled();
  }

  /** Whether the core has answered the registration of this call. */
  isRegistered(call: CallId): boolean {
    return this.calls.isRegistered(call);
  }

  /** Whether commands may be ready for this call. */
  hasCommands(call: CallId): boolean {
    return this.calls.hasReady(call);
  }

  /** Takes commands for a call: about `budget` bytes, more if a single message is longer. */
  takeCommands(call: CallId, budget: number): Command[] {
    const commands: Command[] = [];
    for (let number = this.calls.popReady(call); number !== undefined; number = this.calls.popReady(call)) {
      const stream = this.streams.get(number);
      if (!stream?.isScheduled || !stream.isAttachedTo(call)) continue;
      stream.isScheduled = false;
      while (budget > 0) {
        const command = stream.nextCommand();
        if (!command) break;
        budget -= costOf(command);
        commands.push(command);
      }
      if (stream.isEndAcknowledged) {
        this.streams.delete(number);
        this.tombstones.insert(number, stream.attachment);
      } else if (budget <= 0) {
        // Out of budget: the next stream takes a turn first.
        this.schedule(stream);
        break;
      }
    }
    return commands;
  }

  /** The call for which the stream has commands ready, if any. */
  callOf(number: Long): CallId | undefined {
    const call = this.streams.get(number)?.attachment?.call;
    return call !== undefined && this.hasCommands(call) ? call : undefined;
  }

  /** Whether the core of a call has no Finish or no Sync. */
  needsProbes(call: CallId): boolean {
    const core = this.calls.traits(call);
    return !core.hasFinish || !core.hasSync;
  }

  /** Commands to send now and then on a call to a core without Finish or Sync. */
  probes(call: CallId): Command[] {
    const streams = [...this.streams.values()].filter((stream) => stream.isAttachedTo(call));
    return streams.map((stream) => stream.probe()).filter((probe) => probe !== null);
  }

  /** Whether everything done by the handlers has been confirmed by a core, as far as the session can determine. */
  isFlushed(): boolean {
    return [...this.streams.values()].every((stream) => stream.isFlushed);
  }

  // Calls of the handlers.

  /** Number of the assignment under which a stream is held; undefined for a stream that is not held. */
  assignmentOf(number: Long): number | undefined {
    return this.streams.get(number)?.assignment;
  }

  /** The error of a message that the core or the client of the stream does not accept. */
  problemOf(number: Long, content: Content): SendError | null {
    return this.streams.get(number)?.problemOf(content) ?? null;
  }

  /** Takes the next event for the reader of a stream. Throws QueueError if the session does not hold the stream. */
  read(number: Long): Event | undefined {
    const stream = this.streams.get(number);
    if (!stream) throw new QueueError('over');
    return stream.read();
  }

  /** Applies a change to a stream. Throws QueueError if the session does not hold the stream. */
  change<T>(number: Long, then: (stream: StreamState) => T): T {
    const stream = this.streams.get(number);
    if (!stream) throw new QueueError('over');
    try {
      return then(stream);
    } finally {
      this.reschedule(stream);
    }
  }

  /** All messages below this number are durable. */
  confirmed(number: Long): number {
    return this.live(number).confirmed;
  }

  /** Whether a change of the settings is durable and visible to the callers of all cores. */
  isChangeConfirmed(number: Long, change: number): boolean {
    return this.live(number).settings.isConfirmed(change);
  }

  /** Number of the next message. */
  nextSend(number: Long): number {
    return this.live(number).nextSend;
  }

  /** Whether the core has refused to add the stream to this group. */
  isGroupRefused(number: Long, group: string): boolean {
    const stream = this.streams.get(number);
    return stream !== undefined && !stream.isOver && !stream.settings.hasChanged(group);
  }

  // Events of the cores.

  /** Takes the changes of streams since the last call. */
  takeSignals(): Signal[] {
    const { signals } = this;
    this.signals = [];
    return signals;
  }

  /**
   * Applies an event of a call. After a ContractError the call must be ended; the session stays consistent.
   *
   * Events of a stream that is attached to another call, or to none, change nothing: their sender has lost the partition and
   * has not noticed yet.
   */
  onEvent(call: CallId, event: CoreEvent): void {
    if (event.registered) {
      this.calls.onRegistered(call, event.registered);
      return;
    }
    if (event.event === undefined) return;
    if (!this.calls.isRegistered(call)) throw new ContractError('an event arrived before Registered');
    if (event.started) this.onStarted(call, event.started);
    else if (event.messages) this.onMessages(call, event.messages);
    else if (event.ended) this.onEnded(call, event.ended);
    else if (event.rejoined) this.onRejoined(call, event.rejoined);
    else if (event.released) this.onReleased(call, event.released);
    else if (event.partition_owned) this.onPartitionOwned(call, event.partition_owned);
    else if (event.partition_left) this.onPartitionLeft(call, event.partition_left.partition);
    else this.onStreamReport(call, event);
  }

  /** Reports about a stream. An unknown stream is no error: the core may not know yet that the stream is gone. */
  private onStreamReport(call: CallId, event: CoreEvent): void {
    const { transport_changed: change, send_state: state, send_refused: refused, group_refused: group, synced } = event;
    const number = (change ?? state ?? refused ?? group ?? synced)?.stream;
    const stream = number === undefined ? null : this.attached(call, number);
    if (!stream || number === undefined) return;
    if (change) {
      stream.onChange(changeOf(change));
      this.signals.push({ type: 'readable', stream: number });
    } else if (group) {
      stream.settings.onRefused(group.group);
    } else {
      try {
        if (state) stream.onSendState(state);
        if (refused) stream.onRefused(refused);
        if (synced) stream.settings.onSynced(Number(synced.token));
      } finally {
        // Waiting senders must check again: the room may be gone for good.
        if (!synced) this.reschedule(stream);
        this.signals.push({ type: 'writable', stream: number });
      }
    }
  }

  private onStarted(call: CallId, started: Started): void {
    const { stream: number } = started;
    if (!this.calls.onAnnounced(call, partitionOf(number), BigInt(started.epoch))) return;
    const core = this.calls.traits(call);
    const held = this.streams.get(number);
    if (held) {
      if (held.isLost && held.isSame(started)) return;
      if (held.resume(started, call, core)) {
        this.reschedule(held);
        this.signals.push({ type: 'readable', stream: number }, { type: 'writable', stream: number });
        return;
      }
      this.release(number);
    }
    const hadEnded = this.tombstones.remove(number);
    let stream: StreamState;
    if (started.finishing) {
      stream = StreamState.finishedBefore(started, call, core);
    } else if (hadEnded && started.resumed) {
      stream = StreamState.afterTombstone(started, call, core);
    } else {
      stream = new StreamState(started, call, core);
      stream.assignment = ++this.assignments;
      this.signals.push({ type: 'arrived', stream: number, started, assignment: stream.assignment });
    }
    this.streams.set(number, stream);
    this.reschedule(stream);
  }

  private onMessages(call: CallId, messages: Messages): void {
    const stream = this.attachedOrKnown(call, messages.stream);
    if (!stream) return;
    const [first, attempts] = [Number(messages.first_event), messages.attempts || undefined];
    if (stream.onMessages(first, contentsOf(messages), messages.tag, attempts, this.window)) {
      this.signals.push({ type: 'readable', stream: messages.stream });
    }
    this.reschedule(stream);
  }

  private onEnded(call: CallId, ended: Ended): void {
    const stream = this.attachedOrKnown(call, ended.stream);
    if (!stream) return;
    const end = endedOf(ended);
    if (stream.onEnded(end)) this.signals.push({ type: 'ended', stream: ended.stream, ended: end });
    this.reschedule(stream);
  }

  private onRejoined(call: CallId, rejoined: Rejoined): void {
    const stream = this.attachedOrKnown(call, rejoined.stream);
    if (!stream) return;
    if (stream.onRejoined(rejoinedOf(rejoined))) this.signals.push({ type: 'readable', stream: rejoined.stream });
    this.reschedule(stream);
  }

  private onReleased(call: CallId, released: { stream: Long; lost: boolean; epoch: Long }): void {
    const { stream: number } = released;
    if (released.lost) {
      if (this.calls.onAnnounced(call, partitionOf(number), BigInt(released.epoch))) this.endAsLost(number);
      return;
    }
    // A detached stream was listed in a registration, and this event answers the registration.
    const stream = this.streams.get(number);
    const isAttached = stream?.isAttachedTo(call) ?? false;
    const isFree = stream ? stream.attachment === null || isAttached : this.tombstones.isFreeFor(number, call);
    if (isFree && (isAttached || !this.calls.isStale(call, partitionOf(number)))) this.release(number);
  }

  /**
   * Releases the streams of the partition that were not started on this call under this epoch. Streams that the store has never
   * counted are lost.
   */
  private onPartitionOwned(call: CallId, owned: { partition: number; epoch: Long; streams_made: Long }): void {
    const attachment = { call, epoch: BigInt(owned.epoch) };
    if (!this.calls.onAnnounced(call, owned.partition, attachment.epoch)) return;
    for (const stream of this.ofPartition(owned.partition)) {
      if (stream.isLost || isSame(stream.attachment, attachment)) continue;
      if ((BigInt(stream.number) & COUNT) > BigInt(owned.streams_made)) this.endAsLost(stream.number);
      else this.release(stream.number);
    }
    this.tombstones.retain(owned.partition, attachment);
  }

  private onPartitionLeft(call: CallId, partition: number): void {
    this.calls.onLeft(call, partition);
    for (const stream of this.ofPartition(partition)) if (stream.isAttachedTo(call)) stream.detach();
    this.tombstones.detach(call, partition);
  }

  private ofPartition(partition: number): StreamState[] {
    const streams = [...this.streams.values()].filter(({ number }) => partitionOf(number) === partition);
    return streams.sort((a, b) => (BigInt(a.number) < BigInt(b.number) ? -1 : 1));
  }

  private endAsLost(number: Long): void {
    const stream = this.streams.get(number);
    if (!stream || stream.isLost) return;
    const ended = stream.endAsLost();
    if (ended) this.signals.push({ type: 'ended', stream: number, ended });
    this.reschedule(stream);
  }

  private attached(call: CallId, number: Long): StreamState | null {
    const stream = this.streams.get(number);
    return stream?.isAttachedTo(call) ? stream : null;
  }

  /**
   * The stream, if attached to the call. Otherwise its events are valid if they repeat acknowledged events or come from a former
   * owner; if not, the core broke the contract.
   */
  private attachedOrKnown(call: CallId, number: Long): StreamState | null {
    const stream = this.attached(call, number);
    const isKnown = this.streams.has(number) || this.tombstones.has(number);
    if (!stream && !isKnown && !this.calls.isStale(call, partitionOf(number))) {
      throw new ContractError('an event of a stream that was not started');
    }
    return stream;
  }

  private release(number: Long): void {
    this.tombstones.remove(number);
    const stream = this.streams.get(number);
    this.streams.delete(number);
    if (stream && stream.assignment !== 0) this.signals.push({ type: 'released', stream: number });
  }

  private live(number: Long): StreamState {
    const stream = this.streams.get(number);
    if (!stream || stream.isOver) throw new QueueError('over');
    return stream;
  }

  private reschedule(stream: StreamState): void {
    if (this.streams.get(stream.number) !== stream) return;
    if (stream.isLostAndAcknowledged) this.streams.delete(stream.number);
    else if (stream.hasCommands()) this.schedule(stream);
  }

  private schedule(stream: StreamState): void {
    if (stream.isScheduled || !stream.attachment) return;
    stream.isScheduled = true;
    this.calls.pushReady(stream.attachment.call, stream.number);
  }
}

/** Approximate encoded size of a command, in bytes. */
function costOf({ send }: Command): number {
  if (!send) return 32;
  const size = ({ text, binary }: { text?: string; binary?: Buffer }) => Buffer.byteLength(text ?? binary ?? '');
  const contents = send.contents.reduce((sum, content) => sum + 8 + size(content), 0);
  return 32 + contents + send.messages.reduce((sum, message) => sum + 4 + message.length, 0);
}

function contentsOf(messages: Messages): Content[] {
  const contents = messages.contents.map(({ content, text, binary }): Content => {
    if (content === 'text') return text ?? '';
    if (content === 'binary') return binary ?? new Uint8Array();
    throw new ContractError('a message without content');
  });
  return [...messages.messages.map((message) => message.toString()), ...contents];
}
