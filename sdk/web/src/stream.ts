/**
 * The stream machine: owns a stream's transports, what is written to them and what their frames do; which
 * to open is decided by its course, the strings themselves are in its dialogue. Refuses to know
 * sockets, clocks and randomness: the driver passes `now` (ms, any origin), feeds it frames, and
 * executes what `drain` returns, in order.
 */
import { decodeFrame, type Frame } from './frames.js';
import { HEARTBEAT } from './hello.js';
import { TransportPolicy, LINGER } from './stream/transport_policy.js';
import { ReliableChannel, type FrameResult } from './stream/reliable_channel.js';
import { TransportFactory, PATIENCE } from './stream/transport_factory.js';
import { ConnectionState } from './stream/connection_state.js';
import { Transports } from './stream/transports.js';
import { Uploads } from './stream/uploads.js';
import type { Counters, End, TransportOutcome, Kind, Output, State, StreamOptions, Transport } from './stream/types.js';

export class StreamMachine {
  #standing = new ConnectionState();
  #dialogue = new ReliableChannel();
  #patience = this.#dialogue.incoming.patience;
  #transports = new Transports();
  #course: TransportPolicy;
  #opener: TransportFactory;
  #uploads: Uploads;
  #outputs: Output[] = [];
  /** ms of silence after which the server sends a heartbeat. */
  #beat: number;
  /** The page is away: no transport is opened. */
  away = false;
  /** The time of the last `drain`: what was due then was done. */
  #drained = 0;
  /** The reset, if it was written to a WebSocket. */
  #farewell = '';
  /** When something was last written to a WebSocket. */
  #writtenAt = 0;

  constructor(readonly options: StreamOptions) {
    const { id, cred, random, kind, known, heartbeat = HEARTBEAT } = options;
    this.#beat = heartbeat * 1000;
    this.#course = new TransportPolicy(this.#transports, random, kind, known, this.#beat);
    this.#course.due = (transport) => this.#dialogue.dueOn(transport);
    this.#opener = new TransportFactory(this.#dialogue, id, cred, heartbeat);
    this.#uploads = new Uploads(this.#transports, this.#dialogue, this.#course, random);
  }

  /** Queues a string (already checked) and returns its number. */
  send(text: string): number {
    return this.#dialogue.send(text);
  }

  /** Uses this kind only, or the best that works; the present one goes on until the new one works. */
  switchTo(kind: Kind | 'auto', now: number): void {
    const { candidate } = this.#transports;
    if (candidate && kind !== 'auto' && kind !== 'websocket') this.#close(candidate);
    this.#course.choice.pinned = kind === 'auto' ? null : kind;
    this.hurry(false, now);
  }

  /** Tries again now, better kinds too. `anew`: the network is another one. */
  hurry(anew: boolean, now: number): void {
    this.#course.hurry(anew, now);
    this.#uploads.retry.hurry(now);
  }

  /** The transports may be dead, and their silence proves nothing: time stood still, or (`anew`) the network changed. */
  wake(why: string, anew: boolean, now: number): void {
    this.away = false;
    for (const transport of this.#transports.all()) transport.deadline = Math.max(transport.deadline, now + LINGER);
    this.#course.suspect(why);
    this.hurry(anew, now);
  }

  /**
   * The page goes away: drops all transports until `wake`. Returns the frames of an upload with what the
   * server may not have, at most `room` bytes; null: it has all.
   */
  leave(room: number): string[] | null {
    if (this.#standing.state === 'ended') return null;
    this.away = true;
    const hello = this.#hello(this.#opener.transport('upload', 'leave', 0));
    const frames = this.#dialogue.parting(room - hello.length);
    for (const transport of this.#transports.all()) this.#close(transport);
    this.#course.polling = false;
    return frames.length > 0 ? [hello, ...frames] : null;
  }

  /** Drops all transports as a broken network would. */
  cut(now: number): void {
    for (const transport of this.#transports.all()) this.#drop(transport, now);
  }

  /** Holds strings and SACKs back while the application is behind: so the server stops. True: a change. */
  hold(held: boolean): boolean {
    const changed = this.#dialogue.incoming.hold(held);
    this.#deliver();
    return changed;
  }

  /** Gives the stream up and tells the server if it can be reached now. */
  reset(reason: string, now: number): void {
    if (this.#standing.state === 'ended') return;
    const frame = `${reason}|1!`;
    const { primary, previous } = this.#transports;
    const socket = [primary, previous].find((t) => t?.kind === 'websocket') ?? null;
    this.#end('client', reason, true, socket);
    if (socket) {
      this.#transports.primary = socket;
      this.#farewell = frame;
      this.#write(socket, [frame]);
    } else if (this.#opener.greeted > 0) {
      this.#transports.upload = this.#open('upload', 'reset', now, [frame]);
    }
    for (const transport of this.#transports.all()) transport.deadline = now + LINGER;
  }

  /** A WebSocket is open. */
  onOpened(key: number, now: number): void {
    const { candidate } = this.#transports;
    if (candidate?.key !== key) return;
    Object.assign(candidate, { opened: true, openedAt: now, deadline: Infinity });
  }

  /** Frames that came on a transport, together. */
  recvFrames(key: number, frames: readonly string[], now: number): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    if (this.#standing.state === 'ended') {
      if (frames.includes('Y')) {
        this.#close(transport);
        // The server says so too if it drains, or has taken on a successor, and has not read the reset.
        this.#transports.upload = this.#open('upload', 'reset', now, [this.#farewell]);
      }
      return;
    }
    this.#course.onHeard(transport, frames.some((frame) => frame.endsWith('T')), now);
    for (const raw of frames) {
      const frame = decodeFrame(raw);
      if (!frame || !this.#recv(transport, frame, now)) this.#drop(transport, now);
      if (!this.#transports.find(key)) break;
    }
    this.#deliver();
  }

  /** A transport is over. `wait`: ms that the server asks for, if it is unavailable. */
  onClosed(key: number, ending: TransportOutcome, now: number, wait = 0): void {
    const transport = this.#transports.find(key);
    if (!transport) return;
    this.#course.onClosed(transport, ending, now);
    if (ending === 'unavailable') for (const { retry } of [this.#course, this.#uploads]) retry.onPause(now, wait);
    this.#onGone(transport, ending, now);
  }

  /** Does what is due at `now` and returns what to do, in order. Call it after every input. */
  drain(now: number): Output[] {
    this.#drained = now;
    for (const transport of this.#transports.all()) if (now >= transport.deadline) this.#drop(transport, now);
    if (this.#standing.state !== 'ended') {
      if (!this.away) {
        this.#course.watch(now);
        this.#advance(now);
        this.#pump(now);
      }
      this.#outputs.push(...this.#standing.update(this.#transports, this.#course.polling));
    }
    return this.#outputs.splice(0);
  }

  /** When `drain` must be called at the latest; null: only after an input. */
  pollTimeout(): number | null {
    const times = this.#transports.all().map((t) => t.deadline);
    if (this.#standing.state !== 'ended' && !this.away) {
      times.push(...this.#course.times());
      if (this.#uploads.due) times.push(this.#uploads.retry.at);
      if (this.#transports.carrier?.kind === 'websocket') times.push(this.#writtenAt + this.#beat, this.#patience.at);
    }
    const next = Math.min(...times.filter((time) => time > this.#drained));
    return next === Infinity ? null : next;
  }

  /** Any kind may be used. */
  get isAuto(): boolean {
    return this.#course.choice.pinned === null;
  }

  get state(): State {
    return this.#standing.state;
  }

  /** The kind that carries the stream now; null: none. */
  get transport(): Kind | null {
    return this.#standing.kind;
  }

  get counters(): Counters {
    return { ...this.#dialogue.counts, reconnects: this.#standing.reconnects };
  }

  /** Bytes of own strings that are not acknowledged. */
  get bytes(): number {
    return this.#dialogue.bytes;
  }

  // Frames.

  #recv(transport: Transport, frame: Frame, now: number): boolean {
    switch (frame.type) {
      case 'string':
        return this.#judge(transport, this.#dialogue.recvString(transport, frame.text, transport === this.#transports.primary, now));
      case 'seqnum':
        transport.nextIn = frame.number;
        return true;
      case 'sack': {
        const verdict = this.#dialogue.recvSack(frame.sack, this.#outputs, now);
        return verdict === 'wrong' ? this.#onDisagreement('client') : this.#judge(transport, verdict);
      }
      case 'status':
        transport.closing = true;
        transport.deadline = Math.min(transport.deadline, now + LINGER);
        return true;
      case 'created':
        transport.progress ||= !this.#dialogue.created;
        this.#dialogue.created = true;
        return true;
      case 'you_close_it':
        this.#drop(transport, now, 'ended');
        return true;
      case 'comment':
        return true;
      case 'reset':
        this.#end('server', frame.reason, frame.applicationLevel);
        return true;
      case 'kill':
        return this.#recvKill(frame.reason);
      case 'hello':
        return false;
    }
  }

  #judge(transport: Transport, verdict: FrameResult): boolean {
    if (verdict === 'new') {
      transport.progress = true;
      this.#course.retry.onSuccess();
    }
    return verdict !== 'wrong';
  }

  #recvKill(reason: string): boolean {
    if (reason === 'stream_attach_failure') this.#end('server', reason);
    if (reason === 'acked_unsent_strings') this.#onDisagreement('server');
    return false;
  }

  #onDisagreement(by: End['by']): boolean {
    if (this.#dialogue.onDisagreement()) this.#end(by, 'acked_unsent_strings');
    return false;
  }

  #deliver(): void {
    if (this.#standing.state !== 'ended') this.#dialogue.deliver(this.#outputs);
  }

  // Transports that end.

  /** Closes a transport and reacts to its end. */
  #drop(transport: Transport, now: number, ending: TransportOutcome = 'failed'): void {
    if (!this.#transports.find(transport.key)) return;
    this.#outputs.push({ do: 'close', key: transport.key });
    this.#onGone(transport, ending, now);
  }

  #onGone(transport: Transport, ending: TransportOutcome, now: number): void {
    const { candidate, previous, upload } = this.#transports;
    this.#transports.remove(transport);
    if (this.#standing.state === 'ended') return;
    if (transport === upload) return this.#uploads.onGone(transport, ending, now);
    if (transport === previous) {
      // What was written to it counts as received until a SACK says otherwise.
      this.#patience.at = 0;
      if (ending === 'ended') this.#standing.onHandover();
      return;
    }
    if (transport === candidate) this.#course.onFailed(transport, ending, now);
    else this.#onPrimaryGone(transport, ending, now);
    // A successor could not be had either.
    const { primary } = this.#transports;
    if (ending === 'failed' && primary?.suspect) this.#drop(primary, now);
  }

  #onPrimaryGone(transport: Transport, ending: TransportOutcome, now: number): void {
    const polled = ending === 'ended' && transport.kind === 'long-poll';
    const { previous } = this.#transports;
    if (!polled && previous?.heard && !previous.closing) {
      this.#transports.primary = previous;
      this.#transports.previous = null;
      this.#patience.at = 0;
    }
    this.#course.onPrimaryGone(transport, ending, now);
  }

  #end(by: End['by'], reason: string, applicationLevel = false, except: Transport | null = null): void {
    this.#deliver();
    for (const transport of this.#transports.all()) {
      if (transport === except) this.#transports.remove(transport);
      else this.#close(transport);
    }
    this.#outputs.push({ do: 'end', end: { reason, applicationLevel, by } }, ...this.#standing.end());
  }

  // Transports that begin.

  #advance(now: number): void {
    const { candidate } = this.#transports;
    if (candidate?.opened && this.#course.mayRetire(now)) this.#promote(candidate, now);
    const kind = this.#course.next(now);
    if (kind === null) return;
    const why = this.#opener.made === 0 ? 'start' : this.#course.why(kind);
    if (kind === 'websocket') {
      this.#transports.candidate = this.#open(kind, why, now);
    } else if (this.#course.mayRetire(now)) {
      this.#retire();
      this.#openPrimary(kind, why, now);
    }
  }

  /** A WebSocket that is open takes over. */
  #promote(candidate: Transport, now: number): void {
    this.#transports.candidate = null;
    this.#retire();
    this.#transports.primary = candidate;
    this.#endPolling();
    Object.assign(candidate, { openedAt: now, deadline: now + PATIENCE });
    this.#write(candidate, [this.#hello(candidate), ...this.#dialogue.take(candidate, now)], now);
  }

  #openPrimary(kind: Kind, why: string, now: number): void {
    const again = this.#course.polling && kind === 'long-poll';
    const primary = this.#open(kind, why, now, [], again);
    this.#transports.primary = primary;
    const deadline = now + this.#course.maxPoll * 1000 + PATIENCE;
    if (again) Object.assign(primary, { heard: true, heardAt: now, deadline });
    this.#endPolling();
  }

  /** A primary transport takes over from a poll that has ended. */
  #endPolling(): void {
    if (this.#course.polling) this.#standing.onHandover();
    this.#course.polling = false;
  }

  /** Makes room for a successor. */
  #retire(): void {
    const closed = this.#transports.retire();
    if (closed) this.#close(closed);
  }

  #open(kind: Kind | 'upload', why: string, now: number, frames: string[] = [], proven = false): Transport {
    const transport = this.#opener.transport(kind, why, now);
    if (kind !== 'websocket') {
      frames.unshift(this.#hello(transport, proven));
      // Before the stream is known to exist there are no uploads: strings go along with the hello.
      if (kind !== 'upload' && !this.#dialogue.created) frames.push(...this.#dialogue.take(transport, now));
    }
    this.#outputs.push({ do: 'open', key: transport.key, kind, frames });
    return transport;
  }

  #hello(transport: Transport, proven = false): string {
    return this.#opener.hello(transport, this.#transports.working, this.#course.maxPoll, proven);
  }

  // What goes out.

  /** Writes what is due to the transport that carries own strings. */
  #pump(now: number): void {
    const carrier = this.#transports.carrier;
    if (carrier?.kind === 'websocket') {
      const { incoming } = this.#dialogue;
      // A SACK is this side's heartbeat, too.
      const beats = now >= this.#writtenAt + this.#beat && carrier.heard && !carrier.closing;
      const frames = this.#dialogue.take(carrier, now);
      const due = incoming.mayAck && (frames.length > 0 || now >= this.#patience.at);
      if (due || beats) frames.unshift(`${incoming.takeSack(now)}A`);
      if (frames.length > 0) this.#write(carrier, frames, now);
    } else if (this.#uploads.due && now >= this.#uploads.retry.at) {
      this.options.beforeUpload?.();
      const frames: string[] = [];
      this.#uploads.load(this.#open('upload', 'upload', now, frames), frames, now);
    }
  }

  #write(transport: Transport, frames: string[], now = 0): void {
    this.#writtenAt = now;
    this.#outputs.push({ do: 'write', key: transport.key, frames });
  }

  #close(transport: Transport): void {
    this.#outputs.push({ do: 'close', key: transport.key });
    this.#transports.remove(transport);
  }
}
