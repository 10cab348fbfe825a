/**
 * Stream machine: the state of one stream over changing transports. The transport policy selects kinds, the reliable
 * channel holds the messages; this class opens and closes transports, and routes frames. Pure, without sockets, clock
 * or randomness. The driver passes `now` (ms, any origin) and frames, and executes the outputs of `drain` in order.
 */
import { decodeFrame, type Frame } from './frames.js';
import { DEFAULT_HEARTBEAT } from './hello.js';
import { ConnectionState } from './stream/connection_state.js';
import { ReliableChannel, RESET_TIMEOUT, type FrameResult } from './stream/reliable_channel.js';
import { REQUEST_TIMEOUT, TransportFactory } from './stream/transport_factory.js';
import { LINGER_TIME, TransportPolicy } from './stream/transport_policy.js';
import { Transports } from './stream/transports.js';
import { Uploads } from './stream/uploads.js';
import type { Counters, End, Kind, Output, State, StreamOptions, Transport, TransportOutcome } from './stream/types.js';

export class StreamMachine {
  #connection = new ConnectionState();
  #channel = new ReliableChannel();
  #delayedAck = this.#channel.receiver.delayedAck;
  #transports = new Transports();
  #policy: TransportPolicy;
  #factory: TransportFactory;
  #uploads: Uploads;
  #outputs: Output[] = [];
  /** Heartbeat interval in ms, of the server and of this client. */
  #heartbeat: number;
  /** The page is unloaded or in the back-forward cache; no transport is opened until `wake`. */
  away = false;
  /** Time of the last `drain`; earlier deadlines are done. */
  #drainedAt = 0;
  /** Deadline of the confirmation of a reset. */
  #resetDeadline = Infinity;
  /** Time of the last write to a WebSocket. */
  #writtenAt = 0;

  constructor(readonly options: StreamOptions) {
    const { id, cred, random, kind, known, heartbeat = DEFAULT_HEARTBEAT } = options;
    this.#heartbeat = heartbeat * 1000;
    this.#policy = new TransportPolicy(this.#transports, random, kind, known, this.#heartbeat);
    this.#factory = new TransportFactory(this.#channel, id, cred, heartbeat);
    this.#uploads = new Uploads(this.#transports, this.#channel, this.#policy, random);
  }

  /** Queues a valid message and returns its number. */
  send(text: string): number {
    return this.#channel.send(text);
  }

  /** Restricts the stream to one kind, or lifts the restriction; the old transport stays until the new one works. */
  switchTo(kind: Kind | 'auto', now: number): void {
    const { candidate } = this.#transports;
    if (candidate && kind !== 'auto' && kind !== 'websocket') this.#close(candidate);
    this.#policy.ranking.pinned = kind === 'auto' ? null : kind;
    this.retryNow(false, now);
  }

  /** Allows attempts of all kinds at once; `networkChanged` discards the experience of the former network. */
  retryNow(networkChanged: boolean, now: number): void {
    this.#policy.retryNow(networkChanged, now);
    this.#uploads.retry.retryNow(now);
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
  leave(room: number): string[] | null {
    if (this.#connection.state === 'ended') return null;
    this.away = true;
    const upload = this.#factory.transport('upload', 'leave', 0);
    const hello = this.#hello(upload);
    const frames = this.#channel.finalFrames(upload, room - hello.length);
    for (const transport of this.#transports.all()) this.#close(transport);
    this.#policy.polling = false;
    return frames.length > 0 ? [hello, ...frames] : null;
  }

  /** Drops all transports as a network failure would. */
  cut(now: number): void {
    for (const transport of this.#transports.all()) this.#drop(transport, now);
  }

  /** Back-pressure: while paused, messages are not delivered and not acknowledged. Returns true on a change. */
  setPaused(paused: boolean): boolean {
    const changed = this.#channel.receiver.setPaused(paused || this.#channel.resetting !== null);
    this.#deliver();
    return changed;
  }

  /** Resets the stream. The end follows the server's confirmation; before the first hello the end is immediate. */
  reset(reason: string, now: number): void {
    if (this.#connection.state === 'ended' || this.#channel.resetting) return;
    if (this.#factory.hellosSent === 0) return this.#end('client', reason, true);
    this.#channel.resetting = { reason };
    this.#resetDeadline = now + RESET_TIMEOUT;
    this.setPaused(true);
  }

  /** Reports an open WebSocket. */
  onOpened(key: number, now: number): void {
    const { candidate } = this.#transports;
    if (candidate?.key !== key) return;
    Object.assign(candidate, { opened: true, openedAt: now, deadline: Infinity });
  }

  /** Processes frames received together on a transport. */
  recvFrames(key: number, frames: readonly string[], now: number): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    this.#policy.onFrames(transport, frames.some((frame) => frame.endsWith('T')), now);
    for (const raw of frames) {
      const frame = decodeFrame(raw);
      if (!frame || !this.#recv(transport, frame, now)) this.#drop(transport, now);
      if (!this.#transports.find(key)) break;
    }
    this.#deliver();
  }

  /** Reports the end of a transport; `wait` is the pause in ms that an unavailable server asks for. */
  onClosed(key: number, outcome: TransportOutcome, now: number, wait = 0): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    this.#policy.onRemoteClose(transport, outcome, now);
    if (outcome === 'unavailable') for (const { retry } of [this.#policy, this.#uploads]) retry.onRetryAfter(now, wait);
    this.#onTransportClosed(transport, outcome, now);
  }

  /** Handles due deadlines and returns the outputs, in order. Called after every input. */
  drain(now: number): Output[] {
    this.#drainedAt = now;
    for (const transport of this.#transports.all()) if (now >= transport.deadline) this.#drop(transport, now);
    if (now >= this.#resetDeadline) this.#end('client', 'reset not confirmed');
    if (this.#connection.state !== 'ended') {
      if (!this.away) {
        this.#policy.checkHealth(now);
        this.#openTransports(now);
        this.#flush(now);
      }
      // The loss of a transport behind a reset is part of the end.
      const changes = this.#channel.resetting ? [] : this.#connection.update(this.#transports, this.#policy.polling);
      this.#outputs.push(...changes);
    }
    return this.#outputs.splice(0);
  }

  /** Returns the time by which `drain` must be called; null if only inputs require a call. */
  pollTimeout(): number | null {
    const times = [this.#resetDeadline, ...this.#transports.all().map((t) => t.deadline)];
    if (this.#connection.state !== 'ended' && !this.away) {
      times.push(...this.#policy.deadlines());
      if (this.#uploads.isDue) times.push(this.#uploads.retry.nextAttemptAt);
      const writes = [this.#writtenAt + this.#heartbeat, this.#delayedAck.dueAt];
      if (this.#transports.carrier?.kind === 'websocket') times.push(...writes);
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

  get counters(): Counters {
    return { ...this.#channel.counts, reconnects: this.#connection.reconnects };
  }

  /** Bytes of unacknowledged messages. */
  get unackedBytes(): number {
    return this.#channel.unackedBytes;
  }

  // Received frames.

  #recv(transport: Transport, frame: Frame, now: number): boolean {
    const isPrimary = transport === this.#transports.primary;
    switch (frame.type) {
      case 'string':
        return this.#applyResult(transport, this.#channel.recvMessage(transport, frame.text, isPrimary, now));
      case 'seqnum':
        transport.nextIn = frame.number;
        return true;
      case 'sack': {
        const result = this.#channel.recvSack(frame.sack, this.#outputs, now);
        return result === 'violation' ? this.#onSackMismatch('client') : this.#applyResult(transport, result);
      }
      case 'status':
        transport.closing = true;
        transport.deadline = Math.min(transport.deadline, now + LINGER_TIME);
        return true;
      case 'created':
        transport.progress ||= !this.#channel.created;
        transport.mayCreate = false;
        this.#channel.created = true;
        return true;
      case 'you_close_it':
        this.#drop(transport, now, 'ended');
        return true;
      case 'comment':
        return true;
      case 'reset': {
        // The server repeats the reset that has ended the stream: the own one, or an earlier one of the application.
        const isOwn = frame.applicationLevel && frame.reason === this.#channel.resetting?.reason;
        this.#end(isOwn ? 'client' : 'server', frame.reason, frame.applicationLevel);
        return true;
      }
      case 'kill':
        return this.#recvKill(transport, frame.reason);
      case 'hello':
        return false;
    }
  }

  #applyResult(transport: Transport, result: FrameResult): boolean {
    if (result === 'progress') {
      transport.progress = true;
      this.#policy.retry.onSuccess();
    }
    return result !== 'violation';
  }

  #recvKill(transport: Transport, reason: string): boolean {
    const { resetting } = this.#channel;
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

  // Closing transports.

  /** Closes a transport and handles its end. */
  #drop(transport: Transport, now: number, outcome: TransportOutcome = 'failed'): void {
    if (!this.#transports.find(transport.key)) return;
    this.#outputs.push({ do: 'close', key: transport.key });
    this.#onTransportClosed(transport, outcome, now);
  }

  #onTransportClosed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const { candidate, predecessor, upload } = this.#transports;
    this.#transports.remove(transport);
    if (transport === upload) return this.#uploads.onClosed(transport, outcome, now);
    if (transport === predecessor) {
      // The server counts messages written to a predecessor as received until the next SACK.
      this.#delayedAck.dueAt = 0;
      if (outcome === 'ended') this.#connection.onHandover();
      return;
    }
    if (transport === candidate) this.#policy.onFailed(transport, outcome, now);
    else this.#onPrimaryClosed(transport, outcome, now);
    // A suspect primary whose successor fails is dead.
    const { primary } = this.#transports;
    if (outcome === 'failed' && primary?.suspect) this.#drop(primary, now);
  }

  #onPrimaryClosed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const polled = outcome === 'ended' && transport.kind === 'long-poll';
    const { predecessor } = this.#transports;
    if (!polled && predecessor?.attached && !predecessor.closing) {
      this.#transports.primary = predecessor;
      this.#transports.predecessor = null;
      this.#delayedAck.dueAt = 0;
    }
    this.#policy.onPrimaryClosed(transport, outcome, now);
  }

  #end(by: End['by'], reason: string, applicationLevel = false): void {
    this.#deliver();
    for (const transport of this.#transports.all()) this.#close(transport);
    this.#resetDeadline = Infinity;
    this.#outputs.push({ do: 'end', end: { reason, applicationLevel, by } }, ...this.#connection.end());
  }

  // Opening transports.

  #openTransports(now: number): void {
    const { candidate } = this.#transports;
    if (candidate?.opened && this.#policy.mayRetire(now)) this.#promote(candidate, now);
    const kind = this.#policy.nextKind(now);
    if (kind === null) return;
    const why = this.#factory.transportsMade === 0 ? 'start' : this.#policy.reasonFor(kind);
    if (kind === 'websocket') {
      this.#transports.candidate = this.#open(kind, why, now);
    } else if (this.#policy.mayRetire(now)) {
      this.#retire();
      this.#openPrimary(kind, why, now);
    }
  }

  /** Makes an open WebSocket the primary. */
  #promote(candidate: Transport, now: number): void {
    this.#transports.candidate = null;
    this.#retire();
    this.#transports.primary = candidate;
    this.#endPolling();
    Object.assign(candidate, { openedAt: now, deadline: now + REQUEST_TIMEOUT });
    this.#write(candidate, [this.#hello(candidate), ...this.#channel.takeFrames(candidate, now)], now);
  }

  #openPrimary(kind: Kind, why: string, now: number): void {
    const again = this.#policy.polling && kind === 'long-poll';
    const primary = this.#open(kind, why, now, [], again);
    this.#transports.primary = primary;
    if (again) primary.deadline += this.#policy.maxPollTime * 1000;
    this.#endPolling();
  }

  /** Ends the phase between two polls when a primary takes over. */
  #endPolling(): void {
    if (this.#policy.polling) this.#connection.onHandover();
    this.#policy.polling = false;
  }

  /** Makes the primary the predecessor. */
  #retire(): void {
    const closed = this.#transports.retire();
    if (closed) this.#close(closed);
  }

  #open(kind: Kind | 'upload', why: string, now: number, frames: string[] = [], attached = false): Transport {
    const transport = this.#factory.transport(kind, why, now);
    transport.attached = attached;
    if (kind !== 'websocket') {
      frames.unshift(this.#hello(transport));
      // Uploads require an existing stream: before the confirmation messages follow the hello, and so does a reset.
      const { created, resetting } = this.#channel;
      if (kind !== 'upload' && (!created || resetting)) frames.push(...this.#channel.takeFrames(transport, now));
    }
    this.#outputs.push({ do: 'open', key: transport.key, kind, frames });
    return transport;
  }

  #hello(transport: Transport): string {
    transport.asksReason = !!this.#channel.resetting && !this.#transports.all().some((other) => other.mayCreate);
    return this.#factory.hello(transport, this.#transports.healthyPredecessor, this.#policy.maxPollTime);
  }

  /** Writes due messages and SACKs to the carrier, or starts an upload. */
  #flush(now: number): void {
    const carrier = this.#transports.carrier;
    // A hello with `new` may reach the server after the hellos of newer transports, so the reset follows each one.
    for (const each of this.#transports.all()) {
      const isSocket = each.kind === 'websocket';
      if (isSocket && each.mayCreate && each !== carrier) this.#write(each, this.#channel.takeReset(each));
    }
    if (carrier?.kind === 'websocket') {
      const { receiver } = this.#channel;
      // A SACK serves as the heartbeat of the client.
      const beats = now >= this.#writtenAt + this.#heartbeat && carrier.attached && !carrier.closing;
      const frames = this.#channel.takeFrames(carrier, now);
      const due = receiver.mayAck && (frames.length > 0 || now >= this.#delayedAck.dueAt);
      if (due || beats) frames.unshift(`${receiver.takeSack(now)}A`);
      this.#write(carrier, frames, now);
    } else if (this.#uploads.isDue && now >= this.#uploads.retry.nextAttemptAt) {
      if (!this.#channel.resetting) this.options.beforeUpload?.();
      const frames: string[] = [];
      this.#uploads.load(this.#open('upload', 'upload', now, frames), frames, now);
    }
  }

  #write(transport: Transport, frames: string[], now = 0): void {
    if (frames.length === 0) return;
    this.#writtenAt = now;
    this.#outputs.push({ do: 'write', key: transport.key, frames });
  }

  #close(transport: Transport): void {
    this.#outputs.push({ do: 'close', key: transport.key });
    this.#transports.remove(transport);
  }
}
