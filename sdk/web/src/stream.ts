/**
 * The stream machine: owns the rules of which transport to open, what to write to it and when to give it
 * up; the strings themselves are in its dialogue. Refuses to know sockets,
 * clocks and randomness: the client passes `now` (ms, any origin), feeds it frames, and executes what
 * `drain` returns, in order.
 */
import { decodeFrame, encodeFrame, type Frame } from './frames.js';
import { helloOf, helloToJson, MAX_POLL, MAX_SILENCE } from './hello.js';
import { Dialogue, type Verdict } from './stream/dialogue.js';
import { Retry } from './stream/retry.js';
import { Standing } from './stream/standing.js';
import { Transports } from './stream/transports.js';
import type { Counters, Ending, Kind, Output, State, Transport } from './stream/types.js';

/** ms from opening a transport to its first frame. */
export const PATIENCE = 15_000;
/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
const LINGER = 5_000;
/** A transport that ends in order after this many ms is succeeded at once, an earlier one after a wait. */
const SETTLED = 1_000;
/** Polls in a row that may return quickly with nothing, before waiting: races cause a few. */
const IDLE_POLLS = 3;

export interface StreamOptions {
  readonly id: string;
  readonly kind: Kind;
  readonly cred?: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class StreamMachine {
  #dialogue = new Dialogue();
  #standing = new Standing();
  /** The kind wanted; differs from the primary's while switching. */
  #kind: Kind;
  #transports = new Transports();
  #outputs: Output[] = [];
  #nextTnum = 0;
  /** The last long-poll ended in order: the next one needs no proof that it works. */
  #polling = false;
  #idlePolls = 0;
  #retry: Retry;
  #uploadRetry: Retry;

  constructor(readonly options: StreamOptions) {
    this.#kind = options.kind;
    this.#retry = new Retry(options.random);
    this.#uploadRetry = new Retry(options.random);
  }

  /** Queues a string (already checked) and returns its number. */
  send(text: string): number {
    return this.#dialogue.send(text);
  }

  /** Wants another kind of transport; the present one goes on until the new one works. */
  switchTo(kind: Kind, now: number): void {
    this.#kind = kind;
    this.hurry(now);
  }

  /** Tries again now: the network changed. */
  hurry(now: number): void {
    this.#retry.hurry(now);
    this.#uploadRetry.hurry(now);
  }

  /** Drops all transports as a broken network would. */
  cut(now: number): void {
    for (const transport of this.#transports.all()) this.#lose(transport, now);
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
    const frame = encodeFrame({ type: 'reset', reason, applicationLevel: true });
    const { primary, previous } = this.#transports;
    const socket = [primary, previous].find((t) => t?.kind === 'websocket') ?? null;
    this.#end(reason, true, socket);
    if (socket) {
      this.#transports.primary = socket;
      this.#outputs.push({ do: 'write', tnum: socket.number, frames: [frame] });
    } else if (this.#nextTnum > 0) {
      this.#transports.upload = this.#open('upload', now, 'reset', [frame]);
    }
    for (const transport of this.#transports.all()) transport.deadline = now + LINGER;
  }

  /** Frames that came on a transport, together. */
  recvFrames(tnum: number, frames: readonly string[], now: number): void {
    const transport = this.#transports.find(tnum);
    if (!transport) return;
    if (this.#standing.state === 'ended') {
      if (frames.includes('Y')) this.#close(transport);
      return;
    }
    this.#onHeard(transport, now);
    for (const raw of frames) {
      const frame = decodeFrame(raw);
      if (!frame || !this.#recv(transport, frame, now)) this.#lose(transport, now);
      if (!this.#transports.find(tnum)) break;
    }
    this.#deliver();
  }

  /** A transport is over. */
  onClosed(tnum: number, ending: Ending, now: number): void {
    const transport = this.#transports.find(tnum);
    if (transport) this.#onGone(transport, ending, now);
  }

  /** Does what is due at `now` and returns what to do, in order. Call it after every input. */
  drain(now: number): Output[] {
    for (const transport of this.#transports.all()) {
      if (now >= transport.deadline) this.#lose(transport, now);
    }
    if (this.#standing.state !== 'ended') {
      this.#openPrimary(now);
      this.#pump(now);
      this.#outputs.push(...this.#standing.update(this.#transports, this.#polling));
    }
    return this.#outputs.splice(0);
  }

  /** When `drain` must be called at the latest; null: only after an input. */
  pollTimeout(): number | null {
    const times = this.#transports.all().map((t) => t.deadline);
    if (this.#standing.state !== 'ended') {
      if (this.#transports.primary?.kind !== this.#kind) times.push(this.#retry.at);
      if (!this.#transports.upload && this.#hasUpload()) times.push(this.#uploadRetry.at);
    }
    return times.length === 0 ? null : Math.min(...times);
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
  get bufferedAmount(): number {
    return this.#dialogue.bytes;
  }

  // Frames.

  #recv(transport: Transport, frame: Frame, now: number): boolean {
    switch (frame.type) {
      case 'string':
        return this.#judge(transport, this.#dialogue.recvString(transport, frame.text));
      case 'seqnum':
        transport.nextIn = frame.number;
        return true;
      case 'sack': {
        const verdict = this.#dialogue.recvSack(frame.sack, this.#outputs);
        return verdict === 'wrong' ? this.#onDisagreement() : this.#judge(transport, verdict);
      }
      case 'status':
        transport.closing = true;
        transport.deadline = Math.min(transport.deadline, now + LINGER);
        return true;
      case 'created':
        transport.progress ||= this.#dialogue.recvCreated() === 'new';
        return true;
      case 'you_close_it':
        this.#drop(transport, 'ended', now);
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

  #judge(transport: Transport, verdict: Verdict): boolean {
    if (verdict === 'new') {
      transport.progress = true;
      this.#retry.onSuccess();
    }
    return verdict !== 'wrong';
  }

  #recvKill(reason: string): boolean {
    if (reason === 'stream_attach_failure') this.#end(reason, false);
    if (reason === 'acked_unsent_strings') this.#onDisagreement();
    return false;
  }

  #onDisagreement(): boolean {
    if (this.#dialogue.onDisagreement()) this.#end('acked_unsent_strings', false);
    return false;
  }

  #onHeard(transport: Transport, now: number): void {
    if (!transport.heard && transport === this.#transports.primary && this.#transports.previous) {
      this.#transports.previous.deadline = Math.min(this.#transports.previous.deadline, now + LINGER);
    }
    transport.heard = true;
    if (transport.kind !== 'upload') transport.deadline = now + 2000 * MAX_SILENCE;
  }

  #deliver(): void {
    if (this.#standing.state !== 'ended') this.#dialogue.deliver(this.#outputs);
  }

  // Transports that end.

  #lose(transport: Transport, now: number): void {
    this.#drop(transport, 'failed', now);
  }

  /** Closes a transport and reacts to its end. */
  #drop(transport: Transport, ending: Ending, now: number): void {
    if (!this.#transports.find(transport.number)) return;
    this.#outputs.push({ do: 'close', tnum: transport.number });
    this.#onGone(transport, ending, now);
  }

  #onGone(transport: Transport, ending: Ending, now: number): void {
    const part = this.#transports.remove(transport);
    if (this.#standing.state === 'ended') return;
    if (part === 'upload') this.#onUploadGone(transport, ending, now);
    else if (part === 'primary') this.#onPrimaryGone(transport, ending, now);
    else if (part === 'previous') {
      // What was written to it counts as received until a SACK says otherwise.
      this.#dialogue.incoming.sackDue = true;
      if (ending === 'ended') this.#standing.onHandover();
    }
  }

  #onUploadGone(transport: Transport, ending: Ending, now: number): void {
    this.#dialogue.incoming.sackDue ||= ending === 'failed';
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
    if (this.#transports.working) {
      this.#transports.primary = this.#transports.working;
      this.#transports.previous = null;
    }
    if (ending === 'failed' || !settled) this.#retry.onFailure(now);
  }

  #end(reason: string, applicationLevel: boolean, except: Transport | null = null): void {
    this.#deliver();
    for (const transport of this.#transports.all()) {
      if (transport === except) this.#transports.remove(transport);
      else this.#close(transport);
    }
    this.#outputs.push({ do: 'end', reason, applicationLevel });
    this.#outputs.push(...this.#standing.end());
  }

  // Transports that begin.

  #openPrimary(now: number): void {
    if (this.#transports.primary?.kind === this.#kind || now < this.#retry.at) return;
    let why = this.#nextTnum === 0 ? 'start' : this.#polling ? 'poll' : 'lost';
    if (this.#transports.primary) {
      why = 'switch';
      this.#retire(this.#transports.primary);
    }
    const again = this.#polling && this.#kind === 'long-poll';
    this.#transports.primary = this.#open(this.#kind, now, why);
    if (again) {
      this.#transports.primary.heard = true;
      this.#transports.primary.deadline = now + MAX_POLL * 1000 + PATIENCE;
    }
    this.#polling = false;
  }

  /** Makes room for a successor: one that works stays open until that has taken over. */
  #retire(transport: Transport): void {
    if (!transport.heard || transport.closing) {
      this.#close(transport);
      return;
    }
    if (this.#transports.previous) this.#close(this.#transports.previous);
    this.#transports.previous = transport;
    this.#transports.primary = null;
  }

  #open(kind: Kind | 'upload', now: number, why: string, frames: string[] = []): Transport {
    const number = this.#nextTnum++;
    const { id, cred } = this.options;
    const json = helloToJson({
      tnum: number,
      id,
      isNew: !this.#dialogue.created,
      seenack: this.#dialogue.seen,
      sack: this.#dialogue.incoming.takeSack(),
      // A hello that asks `new` is answered at once anyway.
      ...helloOf(kind, this.#transports.working?.number ?? null, this.#polling || !this.#dialogue.created),
      ...(cred === undefined || this.#dialogue.created ? {} : { cred }),
      why,
    });
    frames.unshift(`${json}H`);
    this.#outputs.push({ do: 'open', tnum: number, kind, frames });
    const deadline = now + (kind === 'upload' ? 2000 * MAX_SILENCE : PATIENCE);
    const fresh = { heard: false, closing: false, progress: false, carried: false };
    return { number, kind, openedAt: now, deadline, nextOut: 0, nextIn: 0, ...fresh };
  }

  // What goes out.

  /** Writes what is due to the transport that carries own strings. */
  #pump(now: number): void {
    const carrier = this.#transports.carrier;
    if (carrier?.kind === 'websocket') {
      const frames = this.#dialogue.incoming.mayAck ? [`${this.#dialogue.incoming.takeSack()}A`] : [];
      frames.push(...this.#dialogue.take(carrier));
      if (frames.length > 0) this.#outputs.push({ do: 'write', tnum: carrier.number, frames });
    } else if (!this.#transports.upload && now >= this.#uploadRetry.at && this.#hasUpload()) {
      this.#startUpload(now);
    }
  }

  #hasUpload(): boolean {
    const carrier = this.#transports.carrier;
    const http = carrier ? carrier.kind !== 'websocket' : this.#polling;
    if (!http || !this.#dialogue.created) return false;
    // A long-poll that has brought something is about to end, and the next one brings the SACK.
    const soon = this.#transports.primary?.kind === 'long-poll' && this.#transports.primary.progress;
    return this.#dialogue.waits || (this.#dialogue.incoming.mayAck && !soon && carrier !== null);
  }

  #startUpload(now: number): void {
    const frames: string[] = [];
    this.#transports.upload = this.#open('upload', now, 'upload', frames);
    frames.push(...this.#dialogue.take(this.#transports.upload));
  }

  #close(transport: Transport): void {
    this.#outputs.push({ do: 'close', tnum: transport.number });
    this.#transports.remove(transport);
  }
}
