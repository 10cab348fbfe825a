/**
 * Stream machine: the state of one stream over changing transports. Routes frames and handles closed transports; the
 * policy selects kinds, the channel holds messages, the opener writes. Pure. The driver passes `now` (ms) and frames, and executes outputs in order.
 */
import { decodeFrame, MAX_MESSAGE, type Frame, type OutFrame } from './frames.js';
import type { Frame3 } from './frames3.js';
import { DEFAULT_HEARTBEAT } from './hello.js';
import type { Message } from './message.js';
import { Closing } from './stream/closing.js';
import { ConnectionState } from './stream/connection_state.js';
import { Credentials } from './stream/credentials.js';
import { ProblemReport } from './stream/problem_report.js';
import { DAMAGED, fromProblem, local, MAX_PAUSE, MIN_HALT_TIME, NO_VERSION_3, type Refusal } from './stream/refusal.js';
import { ReliableChannel, RESET_TIMEOUT, type FrameResult } from './stream/reliable_channel.js';
import { Negotiation } from './stream/negotiation.js';
import { Opener } from './stream/opener.js';
import { TransportFactory } from './stream/transport_factory.js';
import { LINGER_TIME, TransportPolicy } from './stream/transport_policy.js';
import { Transports } from './stream/transports.js';
import type { Counters, End, Kind, Output, Problem, State, Version } from './stream/types.js';
import type { StreamOptions, Transport, TransportOutcome } from './stream/types.js';

export class StreamMachine {
  #connection = new ConnectionState();
  #channel = new ReliableChannel();
  #transports = new Transports();
  #policy: TransportPolicy;
  #factory: TransportFactory;
  #opener: Opener;
  #closing: Closing;
  #outputs: Output[] = [];
  #negotiation: Negotiation | undefined;
  #problem = new ProblemReport();
  /** Present if the page can fetch credentials. */
  readonly credentials: Credentials | undefined;
  /** No attempt before this time unless the network changes, after a refusal that repetition does not lift. */
  #haltedUntil = 0;
  /** Consecutive refusals that halt or postpone the attempts. */
  #refusals = 0;
  /** Number of URLs of the service: fewer refusals leave the ordinary back-off. */
  urls = 1;
  /** Longest message in bytes. */
  maxMessage = MAX_MESSAGE;
  /** The page is unloaded or in the back-forward cache; no transport is opened until `wake`. */
  away = false;
  /** Time of the last `drain`; earlier deadlines are done. */
  #drainedAt = 0;
  /** Deadline of the confirmation of a reset. */
  #resetDeadline = Infinity;

  constructor(readonly options: StreamOptions) {
    const { random, kind, known, beforeUpload, heartbeat = DEFAULT_HEARTBEAT } = options;
    const policy = (this.#policy = new TransportPolicy(this.#transports, random, kind, known, heartbeat * 1000));
    if (VERSION_3 && options.session) this.#channel.restore(options.session.restored, options.session.own);
    this.#factory = new TransportFactory(this.#channel, options, heartbeat);
    const parts = { transports: this.#transports, channel: this.#channel, connection: this.#connection };
    const context = { ...parts, policy, outputs: this.#outputs, random, beforeUpload };
    this.#opener = new Opener(context, this.#factory);
    this.#closing = new Closing(context, this.#opener, this.#onRefused.bind(this));
    if (VERSION_3) {
      this.#negotiation = new Negotiation(context, this.#factory, this.#opener, this.#end.bind(this));
      if (options.getToken) this.credentials = new Credentials(context, this.#factory, this.#problem);
    }
  }

  /** Queues a valid message and returns its number. */
  send(message: Message): number {
    return this.#channel.send(message);
  }

  /** Restricts the stream to one kind, or lifts the restriction; the old transport stays until the new one works. */
  switchTo(kind: Kind | 'auto', now: number): void {
    const { candidate } = this.#transports;
    if (candidate && kind !== 'auto' && kind !== 'websocket') this.#opener.close(candidate);
    this.#policy.ranking.pinned = kind === 'auto' ? null : kind;
    this.retryNow(false, now);
  }

  /** Allows attempts of all kinds at once; `networkChanged` discards the experience of the former network. */
  retryNow(networkChanged: boolean, now: number): void {
    if (networkChanged) this.#haltedUntil = 0;
    if (now < this.#haltedUntil) return;
    this.#policy.retryNow(networkChanged, now);
    this.#opener.uploads.retry.retryNow(now);
  }

  /** Handles a sleep or a network change: transports may be dead, and their silence so far is no evidence. */
  wake(why: string, networkChanged: boolean, now: number): void {
    this.away = false;
    for (const each of this.#transports.all()) each.deadline = Math.max(each.deadline, now + LINGER_TIME);
    this.#policy.suspect(why);
    this.retryNow(networkChanged, now);
  }

  /**
   * Handles the unload of the page: closes all transports until `wake`. Returns the frames of a final upload with
   * unacknowledged messages, at most `room` bytes, and an unconfirmed reset; null if there are none.
   */
  leave(room: number): OutFrame[] | null {
    if (this.#connection.state === 'ended') return null;
    this.away = true;
    // Every server has version 2, and no hello of version 3 has created the stream.
    if (VERSION_3 && this.#factory.hellosSent === 0 && this.#channel.hasUnacked) this.#negotiation?.fallBack();
    const frames = this.#opener.finalUpload(room);
    for (const transport of this.#transports.all()) this.#opener.close(transport);
    this.#policy.polling = false;
    return frames;
  }

  /** Drops all transports as a network failure would. */
  cut(now: number): void {
    for (const transport of this.#transports.all()) this.#closing.drop(transport, now);
  }

  /** Back-pressure: while paused, messages are not delivered and not acknowledged. Returns true on a change. */
  setPaused(paused: boolean): boolean {
    const changed = this.#channel.receiver.setPaused(paused || this.#channel.resetting !== null);
    this.#deliver();
    return changed;
  }

  /** Resets the stream. The end follows the server's confirmation; without an accepted hello the end is immediate. */
  reset(reason: string, now: number, applicationLevel = true): void {
    if (this.#connection.state === 'ended' || this.#channel.resetting) return;
    if (!this.#mayExist) return this.#end('client', reason, applicationLevel);
    this.#channel.resetting = { reason, applicationLevel };
    this.#resetDeadline = now + RESET_TIMEOUT;
    this.setPaused(true);
  }

  /** False as long as every hello was refused, unless an earlier page has made the stream. */
  get #mayExist(): boolean {
    return this.#factory.hellosSent > this.#factory.hellosRefused || (VERSION_3 && !!this.options.session);
  }

  /** Resets the stream once all queued messages are acknowledged. */
  close(reason: string, now: number): void {
    this.#channel.closing ??= { reason };
    this.#resetWhenDrained(now);
  }

  #resetWhenDrained(now: number): void {
    const { closing, hasUnacked } = this.#channel;
    if (closing && !hasUnacked) this.reset(closing.reason, now);
  }

  /** Reports an open WebSocket with the version that the server selected, or that a shared connection may replace an HTTP stream. */
  onOpened(key: number, now: number, version: Version = 2): void {
    const { candidate, primary } = this.#transports;
    if (VERSION_3 && candidate?.key === key && version !== this.#factory.version) {
      // Another transport has meanwhile decided for version 2.
      if (version === 3) return this.#opener.close(candidate);
      if (!this.#negotiation?.fallBack()) {
        this.#onRefused(candidate, NO_VERSION_3, now);
        return this.#closing.drop(candidate, now);
      }
    }
    if (candidate?.key === key) Object.assign(candidate, { opened: true, openedAt: now, deadline: Infinity });
    if (primary?.key === key) primary.replaceReason ||= 'better';
  }

  /** Processes frames received together on a transport. */
  recvFrames(key: number, frames: readonly (string | Frame3)[], now: number): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    const { attached, sacks } = transport;
    this.#policy.onFrames(transport, now);
    for (const raw of frames) {
      const frame = typeof raw === 'string' ? decodeFrame(raw) : raw;
      if (!frame) this.#onRefused(transport, DAMAGED, now);
      if (!frame || !this.#recv(transport, frame, now)) this.#closing.drop(transport, now);
      if (!this.#transports.find(key)) break;
    }
    const isProbe = transport === this.#transports.candidate && !transport.resetSent;
    if (isProbe && (!attached || transport.sacks > sacks)) this.#opener.probe(transport, now);
    this.#deliver();
  }

  /** Reports the end of a transport; `refusal` is the cause of a failure, if known. */
  onClosed(key: number, outcome: TransportOutcome, now: number, refusal?: Refusal): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    if (VERSION_3 && refusal && this.#negotiation?.onRefused(transport, refusal)) return;
    this.#policy.onRemoteClose(transport, outcome, now);
    if (refusal) this.#onRefused(transport, refusal, now, outcome === 'unavailable');
    this.#closing.onClosed(transport, outcome, now);
    const { resetting } = this.#channel;
    if (resetting && !this.#mayExist) this.#end('client', resetting.reason, true);
  }

  /** Reports the cause of failures whose transports could not read a response. */
  onDiagnosed(refusal: Refusal): void {
    this.#problem.onDiagnosed(refusal);
  }

  /** A failed WebSocket is no problem of a stream that HTTP may carry. */
  #onRefused(transport: Transport, refusal: Refusal, now: number, mayWait = false): void {
    const { code, action, after } = refusal;
    if (transport.kind === 'websocket' && code === 'blocked' && this.isAuto) return;
    // The code is empty if the response was not read.
    if (code) this.#problem.onFailed(refusal, now);
    const halts = action !== 'retry';
    if (halts && transport.number >= 0) this.#factory.hellosRefused += 1;
    // Before the stream exists a refusal may slow the attempts; later, as by a login page, it is an ordinary failure.
    const mayHalt = halts && !this.#channel.created && !this.#channel.resetting;
    const pause = mayHalt ? Math.min(MAX_PAUSE, MIN_HALT_TIME * 2 ** (this.#refusals + 1 - this.urls)) : mayWait ? after : 0;
    if (!pause) {
      if (code) this.#refusals = 0;
    } else if (++this.#refusals >= this.urls) {
      if (mayHalt) this.#haltedUntil = now + pause;
      for (const { retry } of [this.#policy, this.#opener.uploads]) retry.onRetryAfter(now, pause);
    }
  }

  /** Handles due deadlines and returns the outputs, in order. Called after every input. */
  drain(now: number): Output[] {
    this.#drainedAt = now;
    for (const transport of this.#transports.all()) if (now >= transport.deadline) this.#closing.onDeadline(transport, now);
    this.#resetWhenDrained(now);
    if (now >= this.#resetDeadline) this.#end('client', 'reset not confirmed');
    if (this.#connection.state !== 'ended' && !this.away) {
      this.#policy.checkHealth(now);
      if (!VERSION_3 || !this.credentials || this.credentials.isReady(now)) this.#opener.openTransports(now);
      this.#opener.flush(now);
    }
    // A handler of the page may have reset the stream before the first request.
    if (this.#connection.state !== 'ended') {
      // The loss of a transport behind a reset is part of the end.
      const changes = this.#channel.resetting ? [] : this.#connection.update(this.#transports, this.#policy.polling);
      const isOpen = this.#connection.state === 'open' || this.#channel.resetting !== null;
      const { retry, ranking } = this.#policy;
      const problem = this.#problem.update(isOpen, retry.nextAttemptAt, now, this.#connection.kind, ranking);
      this.#outputs.push(...changes, ...problem);
    }
    return this.#outputs.splice(0);
  }

  /** Returns the time by which `drain` must be called; null if only inputs require a call. */
  pollTimeout(): number | null {
    const times = [this.#resetDeadline, this.#problem.dueAt, ...this.#transports.all().map((t) => t.deadline)];
    if (this.#connection.state !== 'ended' && !this.away) {
      times.push(...this.#policy.deadlines(), ...this.#opener.deadlines(), this.credentials?.callUntil ?? Infinity);
    }
    const next = Math.min(...times.filter((time) => time > this.#drainedAt));
    return next === Infinity ? null : next;
  }

  /** True without a restriction to one kind. */
  get isAuto(): boolean {
    return this.#policy.ranking.pinned === null;
  }

  get state(): State {
    return this.#connection.state;
  }

  /** Kind that carries the stream; null without a transport. */
  get transport(): Kind | null {
    return this.#connection.kind;
  }

  /** Version of the protocol; 0 before it is known. */
  get version(): Version | 0 {
    return VERSION_3 && this.#factory.mayFallBack ? 0 : this.#factory.version;
  }

  get problem(): Problem | null {
    return this.#problem.current;
  }

  get counters(): Counters {
    return { ...this.#channel.counts, reconnects: this.#connection.reconnects };
  }

  get unackedBytes(): number {
    return this.#channel.unackedBytes;
  }

  #recv(transport: Transport, frame: Frame | Frame3, now: number): boolean {
    switch (frame.type) {
      case 'string':
        return this.#recvMessage(transport, frame.text, now);
      case 'seqnum':
        transport.nextIn = frame.number;
        return true;
      case 'sack': {
        const result = this.#channel.recvSack(frame.sack, this.#outputs, now);
        // Each round of a probe ends with a SACK; an earlier one belongs to the hello.
        if (transport.probing ? transport.hasSent : result === 'progress') transport.sacks += 1;
        return result === 'violation' ? this.#onSackMismatch('client') : this.#applyResult(transport, result);
      }
      case 'status':
        transport.closing = true;
        transport.deadline = Math.min(transport.deadline, now + LINGER_TIME);
        return true;
      case 'created':
        return this.#onCreated(transport);
      case 'you_close_it':
        this.#closing.drop(transport, now, 'ended');
        return true;
      case 'reset': {
        // The server repeats the reset that has ended the stream: the own one, or an earlier one of the application.
        const { resetting, closing } = this.#channel;
        const isOwn = frame.applicationLevel === (!VERSION_3 || (resetting?.applicationLevel ?? true)) && frame.reason === (resetting ?? closing)?.reason;
        this.#end(isOwn ? 'client' : 'server', frame.reason, frame.applicationLevel);
        return true;
      }
      case 'kill':
        return this.#recvKill(transport, frame.reason, now);
      default:
        return frame.type === 'comment' || (VERSION_3 && frame.type !== 'hello' && this.#recv3(transport, frame, now));
    }
  }

  /** Processes a frame that only version 3 has. */
  #recv3(transport: Transport, frame: Exclude<Frame3, Frame>, now: number): boolean {
    if (VERSION_3) switch (frame.type) {
      case 'text':
        return this.#recvMessage(transport, frame.text, now);
      case 'binary':
        return this.#recvMessage(transport, frame.data, now);
      case 'claim_tag':
        transport.tag = frame.tag;
        return true;
      case 'refusal': {
        const refusal = fromProblem(frame);
        if (!this.#negotiation?.onRefused(transport, refusal)) this.#onRefused(transport, refusal, now, true);
        return false;
      }
      case 'welcome':
        this.maxMessage = frame.max ?? this.maxMessage;
        this.#negotiation?.onWelcome(transport, frame);
        return this.#onCreated(transport);
      case 'renewal':
        this.credentials?.call(now);
        return true;
      default:
        return frame.type !== 'compressed';
    }
    return false;
  }

  #recvMessage(transport: Transport, message: Message, now: number): boolean {
    const result = this.#channel.recvMessage(transport, message, transport === this.#transports.primary, now);
    // The store has lost the message that this page had received with the number.
    if (VERSION_3 && result === 'conflict') this.reset('state lost', now, false);
    return this.#applyResult(transport, result);
  }

  #onCreated(transport: Transport): boolean {
    if (!this.#channel.created) {
      // Refusals of other transports, as by a proxy, must not delay the next reconnect.
      transport.progress = true;
      this.#haltedUntil = this.#refusals = 0;
      this.#policy.retry.nextAttemptAt = this.#opener.uploads.retry.nextAttemptAt = 0;
    }
    transport.mayCreate = false;
    return (this.#channel.created = true);
  }

  #applyResult(transport: Transport, result: FrameResult): boolean {
    if (result === 'progress') {
      transport.progress = true;
      this.#policy.retry.onSuccess();
      this.#refusals = 0;
    }
    return result !== 'violation';
  }

  #recvKill(transport: Transport, reason: string, now: number): boolean {
    const { resetting, created } = this.#channel;
    if (reason === 'invalid_frame_type_or_arguments' && !created) {
      const refusal = local('hello', 'hello refused', transport.kind === 'websocket' ? 'retry' : 'halt');
      this.#onRefused(transport, refusal, now);
    }
    if (reason === 'frame_corruption') this.#onRefused(transport, DAMAGED, now);
    if (reason === 'stream_attach_failure') {
      if (!resetting) this.#end('server', reason);
      else if (transport.asksReason) this.#end('client', resetting.reason, true);
    }
    if (reason === 'acked_unsent_strings') this.#onSackMismatch('server');
    return false;
  }

  #onSackMismatch(by: End['by']): boolean {
    if (this.#channel.onSackMismatch()) this.#end(by, 'acked_unsent_strings');
    return false;
  }

  #deliver(): void {
    if (this.#connection.state !== 'ended') this.#channel.deliver(this.#outputs);
  }

  #end(by: End['by'], reason: string, applicationLevel = false): void {
    this.#deliver();
    for (const transport of this.#transports.all()) this.#opener.close(transport);
    this.#resetDeadline = Infinity;
    this.#outputs.push({ do: 'end', end: { reason, applicationLevel, by } }, ...this.#connection.end());
  }
}
