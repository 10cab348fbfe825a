/**
 * The stream machine: owns the queue of own strings, the window of received ones, and the rules of
 * which transport to open, what to write to it and when to give it up. Refuses to know sockets,
 * clocks and randomness: the client passes `now` (ms, any origin), feeds it frames, and executes what
 * `drain` returns, in order.
 */
import { decodeFrame, encodeFrame, type Frame } from './frames.js';
import { helloToJson } from './hello.js';
import { formatSack } from './sack.js';
import { SendQueue } from './window/send_queue.js';
import { ReceiveWindow } from './window/receive_window.js';
import { Flight } from './stream/flight.js';
import { Retry } from './stream/retry.js';
import type { Counters, Ending, Kind, Output, State, Transport } from './stream/types.js';

/** Seconds of silence after which the server sends a heartbeat. */
export const MAX_SILENCE = 20;
/** Seconds a long-poll is held: below the minute at which many proxies give up. */
export const MAX_POLL = 50;
/** ms from opening a transport to its first frame. */
export const PATIENCE = 15_000;
/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
const LINGER = 5_000;
/** A transport that ends in order after this many ms is succeeded at once, an earlier one after a wait. */
const SETTLED = 1_000;
/** Polls in a row that may return quickly with nothing, before waiting: races cause a few. */
const IDLE_POLLS = 3;
/** Far above what a server holds for one client (1 MiB or 1,000 strings by default). */
const WINDOW = { strings: 16_384, bytes: 16 << 20 };

export interface StreamOptions {
  readonly id: string;
  readonly kind: Kind;
  readonly cred?: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class StreamMachine {
  readonly counters: Counters = { sent: 0, acknowledged: 0, received: 0, reconnects: 0 };
  #state: State = 'connecting';
  #kindNow: Kind | null = null;
  /** The kind wanted; differs from the primary's while switching. */
  #kind: Kind;
  #queue = new SendQueue();
  #window = new ReceiveWindow(WINDOW);
  #outputs: Output[] = [];
  /** A StreamCreated frame was seen. */
  #created = false;
  #nextTnum = 0;
  /** The newest transport that wants strings. */
  #primary: Transport | null = null;
  /** The one it succeeds, still open: at most one. */
  #previous: Transport | null = null;
  #upload: Transport | null = null;
  /** The last long-poll ended in order: the next one needs no proof that it works. */
  #polling = false;
  /** The previous transport ended in order and the primary has not answered yet. */
  #handover = false;
  #idlePolls = 0;
  #retry: Retry;
  #uploadRetry: Retry;
  #flight = new Flight();
  /** The server does not know all that this side has. */
  #sackDue = false;
  /** The SACK text last shown to the server; kept while `held`. */
  #shownSack = '|-1';
  #held = false;
  /** Kills `acked_unsent_strings` in a row: two prove that the two sides disagree for good. */
  #disagreements = 0;

  constructor(readonly options: StreamOptions) {
    this.#kind = options.kind;
    this.#retry = new Retry(options.random);
    this.#uploadRetry = new Retry(options.random);
  }

  /** Queues a string (already checked) and returns its number. */
  send(text: string): number {
    this.counters.sent += 1;
    return this.#queue.push(text);
  }

  /** Wants another kind of transport; the present one goes on until the new one works. */
  switchTo(kind: Kind, now: number): void {
    this.#kind = kind;
    this.hurry(now);
  }

  /** Tries again now: the network changed. */
  hurry(now: number): void {
    for (const retry of [this.#retry, this.#uploadRetry]) {
      retry.onSuccess();
      retry.hurry(now);
    }
  }

  /** Drops all transports as a broken network would. */
  cut(now: number): void {
    for (const transport of this.#transports()) this.#lose(transport, now);
  }

  /** Holds strings and SACKs back while the application is behind: the server stops in turn. True: a change. */
  hold(held: boolean): boolean {
    if (held === this.#held) return false;
    this.#held = held;
    this.#sackDue ||= !held && formatSack(this.#window.sack()) !== this.#shownSack;
    this.#deliver();
    return true;
  }

  /** Gives the stream up and tells the server if it can be reached now. */
  reset(reason: string, now: number): void {
    if (this.#state === 'ended') return;
    const frame = encodeFrame({ type: 'reset', reason, applicationLevel: true });
    const socket = [this.#primary, this.#previous].find((t) => t?.kind === 'websocket') ?? null;
    this.#end(reason, true, socket);
    if (socket) {
      this.#primary = socket;
      this.#outputs.push({ do: 'write', tnum: socket.number, frames: [frame] });
    } else if (this.#nextTnum > 0) {
      this.#upload = this.#open('upload', now, 'reset', [frame]);
    }
    for (const transport of this.#transports()) transport.deadline = now + LINGER;
  }

  /** Frames that came on a transport, together. */
  recvFrames(tnum: number, frames: readonly string[], now: number): void {
    const transport = this.#find(tnum);
    if (!transport) return;
    if (this.#state === 'ended') {
      if (frames.includes('Y')) this.#close(transport);
      return;
    }
    this.#onHeard(transport, now);
    for (const raw of frames) {
      const frame = decodeFrame(raw);
      if (!frame || !this.#recv(transport, frame, now)) this.#lose(transport, now);
      if (!this.#find(tnum)) break;
    }
    this.#deliver();
  }

  /** A transport is over. */
  onClosed(tnum: number, ending: Ending, now: number): void {
    const transport = this.#find(tnum);
    if (!transport) return;
    if (this.#state === 'ended') this.#forget(transport);
    else this.#onGone(transport, ending, now);
  }

  /** Does what is due at `now` and returns what to do, in order. Call it after every input. */
  drain(now: number): Output[] {
    for (const transport of this.#transports()) {
      if (now >= transport.deadline) this.#lose(transport, now);
    }
    if (this.#state !== 'ended') {
      this.#openPrimary(now);
      this.#pump(now);
      this.#report();
    }
    return this.#outputs.splice(0);
  }

  /** When `drain` must be called at the latest; null: only after an input. */
  pollTimeout(): number | null {
    const times = this.#transports().map((t) => t.deadline);
    if (this.#state !== 'ended') {
      if (!this.#primary || this.#primary.kind !== this.#kind) times.push(this.#retry.at);
      if (!this.#upload && this.#hasUpload()) times.push(this.#uploadRetry.at);
    }
    return times.length === 0 ? null : Math.min(...times);
  }

  get state(): State {
    return this.#state;
  }

  /** The kind that carries the stream now; null: none. */
  get transport(): Kind | null {
    return this.#kindNow;
  }

  /** Bytes of own strings that are not acknowledged. */
  get bufferedAmount(): number {
    return this.#queue.bytes;
  }

  // Frames.

  #recv(transport: Transport, frame: Frame, now: number): boolean {
    switch (frame.type) {
      case 'string':
        return this.#recvString(transport, frame.text);
      case 'seqnum':
        transport.nextIn = frame.number;
        return true;
      case 'sack':
        return this.#recvSack(transport, frame);
      case 'status':
        transport.closing = true;
        transport.deadline = Math.min(transport.deadline, now + LINGER);
        return true;
      case 'created':
        this.#created = transport.progress = true;
        return true;
      case 'you_close_it':
        this.#close(transport);
        this.#onGone(transport, 'ended', now);
        return true;
      case 'comment':
        return true;
      case 'reset':
        this.#end(frame.reason, frame.applicationLevel);
        return true;
      case 'kill':
        return this.#recvKill(frame.reason);
      case 'hello':
        return false;
    }
  }

  #recvString(transport: Transport, text: string): boolean {
    const received = this.#window.receive(transport.nextIn, text);
    if (received === 'overflow') return false;
    // A duplicate is answered, too: the SACK for the first one may be lost.
    this.#sackDue = true;
    transport.nextIn += 1;
    if (received !== 'duplicate') this.#onProgress(transport);
    return true;
  }

  #recvSack(transport: Transport, { sack }: Frame & { type: 'sack' }): boolean {
    const before = this.counters.acknowledged;
    const freed = this.#queue.apply(sack, (number, bytes) => {
      this.#flight.onFreed(number, bytes);
      this.counters.acknowledged += 1;
      this.#outputs.push({ do: 'acked', number });
    });
    if (!freed) return this.#onDisagreement();
    if (this.counters.acknowledged > before) this.#onProgress(transport);
    return true;
  }

  #recvKill(reason: string): boolean {
    if (reason === 'stream_attach_failure') this.#end(reason, false);
    if (reason === 'acked_unsent_strings') this.#onDisagreement();
    return false;
  }

  #onDisagreement(): boolean {
    this.#disagreements += 1;
    if (this.#disagreements > 1) this.#end('acked_unsent_strings', false);
    return false;
  }

  #onHeard(transport: Transport, now: number): void {
    if (!transport.heard && transport === this.#primary && this.#previous) {
      this.#previous.deadline = Math.min(this.#previous.deadline, now + LINGER);
    }
    transport.heard = true;
    if (transport.kind !== 'upload') transport.deadline = now + 2000 * MAX_SILENCE;
  }

  #onProgress(transport: Transport): void {
    transport.progress = true;
    this.#disagreements = 0;
    this.#retry.onSuccess();
  }

  /** Hands the strings that are in order to the application. */
  #deliver(): void {
    if (this.#held || this.#state === 'ended') return;
    for (let next = this.#window.pop(); next; next = this.#window.pop()) {
      this.counters.received += 1;
      this.#outputs.push({ do: 'deliver', text: next[1] });
    }
  }

  // Transports that end.

  #lose(transport: Transport, now: number): void {
    if (!this.#find(transport.number)) return;
    this.#close(transport);
    if (this.#state !== 'ended') this.#onGone(transport, 'failed', now);
  }

  #onGone(transport: Transport, ending: Ending, now: number): void {
    const { isPrimary, isUpload } = this.#forget(transport);
    if (isUpload) this.#onUploadGone(transport, ending, now);
    else if (isPrimary) this.#onPrimaryGone(transport, ending, now);
    else {
      // What was written to it counts as received until a SACK says otherwise.
      this.#sackDue = true;
      this.#handover = ending === 'ended';
    }
  }

  #onUploadGone(transport: Transport, ending: Ending, now: number): void {
    this.#sackDue ||= ending === 'failed';
    const fine = ending === 'ended' && (transport.progress || !transport.carried);
    if (fine) this.#uploadRetry.onSuccess();
    else this.#uploadRetry.onFailure(now);
  }

  #onPrimaryGone(transport: Transport, ending: Ending, now: number): void {
    const settled = transport.progress || now - transport.openedAt >= SETTLED;
    if (transport.heard && settled) this.#retry.onSuccess();
    this.#polling = ending === 'ended' && transport.kind === 'long-poll';
    if (this.#polling) {
      this.#idlePolls = settled ? 0 : this.#idlePolls + 1;
      if (this.#idlePolls > IDLE_POLLS) this.#retry.onFailure(now);
      return;
    }
    if (this.#previous?.heard && !this.#previous.closing) {
      this.#primary = this.#previous;
      this.#previous = null;
    }
    if (ending === 'failed' || !settled) this.#retry.onFailure(now);
  }

  #end(reason: string, applicationLevel: boolean, except: Transport | null = null): void {
    for (const transport of this.#transports()) {
      if (transport === except) this.#forget(transport);
      else this.#close(transport);
    }
    this.#outputs.push({ do: 'end', reason, applicationLevel });
    this.#state = 'ended';
    this.#kindNow = null;
    this.#outputs.push({ do: 'transport', kind: null }, { do: 'state', state: 'ended' });
  }

  // Transports that begin.

  #openPrimary(now: number): void {
    if (this.#primary?.kind === this.#kind || now < this.#retry.at) return;
    let why = this.#nextTnum === 0 ? 'start' : this.#polling ? 'poll' : 'lost';
    if (this.#primary) {
      why = 'switch';
      this.#retire(this.#primary);
    }
    const again = this.#polling && this.#kind === 'long-poll';
    this.#primary = this.#open(this.#kind, now, why);
    if (again) {
      this.#primary.heard = true;
      this.#primary.deadline = now + MAX_POLL * 1000 + PATIENCE;
    }
    this.#polling = false;
  }

  /** Makes room for a successor: one that works stays open until that has taken over. */
  #retire(transport: Transport): void {
    if (!transport.heard || transport.closing) {
      this.#close(transport);
      return;
    }
    if (this.#previous) this.#close(this.#previous);
    this.#previous = transport;
    this.#primary = null;
  }

  #open(kind: Kind | 'upload', now: number, why: string, frames: string[] = []): Transport {
    const number = this.#nextTnum++;
    const upload = kind === 'upload';
    const poll = kind === 'long-poll';
    // The first long-poll is answered at once, by a heartbeat: that proves that it works.
    const silent = upload || (poll && (this.#polling || !this.#created));
    const previous = this.#previous && !this.#previous.closing ? this.#previous.number : null;
    const { id, cred } = this.options;
    const json = helloToJson({
      tnum: number,
      id,
      isNew: !this.#created,
      ming: !upload && !poll,
      maxia: silent ? 0 : MAX_SILENCE,
      seenack: formatSack(this.#queue.sack()),
      sack: this.#takeSack(),
      ...(upload ? {} : { eeds: previous }),
      ...(poll ? { maxt: MAX_POLL } : {}),
      ...(cred === undefined || this.#created ? {} : { cred }),
      why,
    });
    frames.unshift(`${json}H`);
    this.#outputs.push({ do: 'open', tnum: number, kind, frames });
    const deadline = now + (upload ? 2000 * MAX_SILENCE : PATIENCE);
    const fresh = { heard: false, closing: false, progress: false, carried: false };
    return { number, kind, openedAt: now, deadline, nextOut: 0, nextIn: 0, ...fresh };
  }

  // What goes out.

  /** Writes what is due to the transport that carries own strings. */
  #pump(now: number): void {
    const carrier = this.#carrier();
    if (carrier?.kind === 'websocket') {
      const frames = this.#sackDue && !this.#held ? [`${this.#takeSack()}A`] : [];
      frames.push(...this.#flight.take(carrier, this.#queue));
      if (frames.length > 0) this.#outputs.push({ do: 'write', tnum: carrier.number, frames });
    } else if (!this.#upload && now >= this.#uploadRetry.at && this.#hasUpload()) {
      this.#startUpload(now);
    }
  }

  /** The newest transport that works; for want of one, the newest. */
  #carrier(): Transport | null {
    const previous = this.#previous?.heard && !this.#previous.closing ? this.#previous : null;
    return this.#primary?.heard ? this.#primary : (previous ?? this.#primary);
  }

  #hasUpload(): boolean {
    const carrier = this.#carrier();
    const http = carrier ? carrier.kind !== 'websocket' : this.#polling;
    if (!http || !this.#created) return false;
    // A long-poll that has brought something is about to end, and the next one brings the SACK.
    const soon = this.#primary?.kind === 'long-poll' && this.#primary.progress;
    return this.#queue.length > 0 || (this.#sackDue && !this.#held && !soon && carrier !== null);
  }

  #startUpload(now: number): void {
    const frames: string[] = [];
    this.#upload = this.#open('upload', now, 'upload', frames);
    frames.push(...this.#flight.take(this.#upload, this.#queue));
  }

  /** The SACK text to show now. */
  #takeSack(): string {
    if (!this.#held) this.#shownSack = formatSack(this.#window.sack());
    this.#sackDue = false;
    return this.#shownSack;
  }

  // Bookkeeping.

  #report(): void {
    const waiting = this.#polling && !this.#primary ? 'long-poll' : null;
    const carrier = [this.#primary, this.#previous].find((t) => t?.heard);
    this.#handover &&= !carrier && this.#primary !== null;
    const silent = this.#handover ? this.#kindNow : waiting;
    const kind = carrier && carrier.kind !== 'upload' ? carrier.kind : silent;
    const lost = this.#state === 'connecting' ? 'connecting' : 'reconnecting';
    const state = kind ? 'open' : lost;
    if (this.#state === 'reconnecting' && state === 'open') this.counters.reconnects += 1;
    if (kind !== this.#kindNow) this.#outputs.push({ do: 'transport', kind });
    if (state !== this.#state) this.#outputs.push({ do: 'state', state });
    this.#kindNow = kind;
    this.#state = state;
  }

  #close(transport: Transport): void {
    this.#outputs.push({ do: 'close', tnum: transport.number });
    this.#forget(transport);
  }

  #forget(transport: Transport): { isPrimary: boolean; isUpload: boolean } {
    const was = { isPrimary: transport === this.#primary, isUpload: transport === this.#upload };
    if (was.isPrimary) this.#primary = null;
    if (was.isUpload) this.#upload = null;
    if (transport === this.#previous) this.#previous = null;
    return was;
  }

  #transports(): Transport[] {
    return [this.#upload, this.#previous, this.#primary].filter((t) => t !== null);
  }

  #find(tnum: number): Transport | undefined {
    return this.#transports().find((t) => t.number === tnum);
  }
}
