/**
 * A server to test the stream machine against, written from the protocol page alone: it shares no
 * windows with the client. Durable by itself: a crash only breaks its connections.
 */
import { decodeFrame } from '../src/frames.js';
import { formatSack, parseSack, type Sack } from '../src/sack.js';

/** What the server sees of a connection. */
export interface Wire {
  readonly kind: 'websocket' | 'http';
  /** Frames written together. */
  write(frames: string[]): void;
  /** Runs something later, if the server is still there. */
  after(ms: number, run: () => void): unknown;
  /** The server is done with it: an HTTP response ends. */
  end(): void;
}

interface ServerTransport {
  readonly wire: Wire;
  readonly tnum: number;
  readonly isPoll: boolean;
  readonly wantsStrings: boolean;
  readonly maxia: number;
  /** The next string to write, if it is the primary. */
  writtenTo: number;
  nextIn: number;
  open: boolean;
}

/** Undelivered strings that the server keeps, as the real one does. */
const WINDOW = 50;

export class ModelStream {
  /** What the application got, in order. */
  readonly delivered: string[] = [];
  /** What the application sent; the index is the number. */
  readonly sent: string[] = [];
  #waiting = new Map<number, string>();
  #acked = -1;
  #beyond = new Set<number>();
  #lastSack = '|-1';
  /** Strings below were written to a primary that was succeeded: assumed received for now. */
  #assumed = 0;
  #primary: ServerTransport | null = null;
  readonly transports = new Set<ServerTransport>();
  reset: string | null = null;

  send(text: string): void {
    this.sent.push(text);
    if (this.#primary) this.flush(this.#primary);
  }

  sack(): string {
    const beyond = [...this.#waiting.keys()].sort((a, b) => a - b);
    return formatSack({ acked: this.delivered.length - 1, beyond });
  }

  /** All that was sent is acknowledged. */
  get isSettled(): boolean {
    return this.#acked + this.#beyond.size === this.sent.length - 1;
  }

  becomePrimary(transport: ServerTransport, eeds: number | null): void {
    const old = this.#primary?.open ? this.#primary : null;
    this.#primary = transport;
    transport.writtenTo = this.#acked + 1;
    if (old && old.tnum === eeds) transport.writtenTo = this.#assumed = old.writtenTo;
    if (old) this.closeGently(old);
  }

  /** False: it acknowledges what was never sent. */
  applySack(text: string, sack: Sack): boolean {
    this.#lastSack = text;
    if (Math.max(sack.acked, ...sack.beyond) >= this.sent.length) return false;
    this.#acked = Math.max(this.#acked, sack.acked);
    for (const number of sack.beyond) this.#beyond.add(number);
    for (const number of [...this.#beyond].sort((a, b) => a - b)) {
      if (number === this.#acked + 1) this.#acked = number;
      if (number <= this.#acked) this.#beyond.delete(number);
    }
    const primary = this.#primary;
    if (this.#assumed > 0 && primary?.open) {
      const writtenTo = primary.writtenTo;
      const again = this.#messages(this.#acked + 1, this.#assumed);
      this.#assumed = 0;
      if (again.length > 0) this.write(primary, again);
      primary.writtenTo = writtenTo;
    }
    return true;
  }

  /** False: the window is full. */
  receive(number: number, text: string): boolean {
    if (number < this.delivered.length || this.#waiting.has(number)) return true;
    if (number > this.delivered.length && this.#waiting.size >= WINDOW) return false;
    this.#waiting.set(number, text);
    for (;;) {
      const next = this.#waiting.get(this.delivered.length);
      if (next === undefined) return true;
      this.#waiting.delete(this.delivered.length);
      this.delivered.push(next);
    }
  }

  flush(transport: ServerTransport): void {
    if (!transport.open || transport !== this.#primary) return;
    const frames = this.#messages(transport.writtenTo, this.sent.length);
    transport.writtenTo = this.sent.length;
    if (frames.length > 0) this.write(transport, frames);
  }

  write(transport: ServerTransport, frames: string[]): void {
    if (!transport.open) return;
    transport.wire.write(frames);
    if (transport.isPoll && transport.wantsStrings) this.closeGently(transport);
  }

  closeGently(transport: ServerTransport, more: string[] = []): void {
    if (!transport.open) return;
    this.over(transport);
    transport.wire.write([`${this.sack()}A`, `${this.#lastSack}T`, ...more]);
    finish(transport.wire);
  }

  over(transport: ServerTransport): void {
    transport.open = false;
    this.transports.delete(transport);
    if (this.#primary === transport) this.#primary = null;
  }

  #messages(from: number, to: number): string[] {
    const frames: string[] = [];
    let next = -1;
    for (let number = Math.max(from, this.#acked + 1); number < to; number += 1) {
      if (this.#beyond.has(number)) continue;
      if (number !== next) frames.push(`${number}N`);
      frames.push(`${this.sent[number] ?? ''} `);
      next = number + 1;
    }
    return frames;
  }
}

function finish(wire: Wire): void {
  if (wire.kind === 'websocket') wire.write(['Y']);
  else wire.end();
}

export class ModelServer {
  readonly streams = new Map<string, ModelStream>();
  /** Streams that were made, also those that are over. */
  created = 0;

  /** A hello and the frames that came with it. Undefined: refused. */
  accept(wire: Wire, frames: readonly string[]): ((frames: readonly string[]) => void) | undefined {
    if (wire.kind === 'http') wire.write([';)]}^']);
    const hello = JSON.parse((frames[0] ?? '').slice(0, -1)) as Record<string, unknown>;
    const id = String(hello['id']);
    let stream = this.streams.get(id);
    if (!stream && hello['new'] !== true) {
      wire.write(['stream_attach_failureK']);
      finish(wire);
      return undefined;
    }
    if (!stream) {
      stream = new ModelStream();
      this.streams.set(id, stream);
      this.created += 1;
    }
    const transport: ServerTransport = {
      wire,
      tnum: Number(hello['tnum']),
      isPoll: hello['ming'] !== true,
      wantsStrings: 'eeds' in hello,
      maxia: Number(hello['maxia']),
      writtenTo: 0,
      nextIn: 0,
      open: true,
    };
    const first: string[] = hello['new'] === true ? ['C'] : [];
    if (hello['seenack'] !== stream.sack()) first.push(`${stream.sack()}A`);
    const sackText = String(hello['sack']);
    const sack = parseSack(sackText);
    if (!sack || !stream.applySack(sackText, sack)) {
      wire.write([...first, 'acked_unsent_stringsK']);
      finish(wire);
      return undefined;
    }
    stream.transports.add(transport);
    if (transport.maxia > 0) first.push('beat^');
    const on = (more: readonly string[]): void => recv(this, id, stream, transport, more);
    if (transport.wantsStrings) stream.becomePrimary(transport, hello['eeds'] as number | null);
    if (first.length > 0) stream.write(transport, first);
    on(frames.slice(1));
    if (transport.isPoll && !transport.wantsStrings) stream.closeGently(transport);
    stream.flush(transport);
    const { maxt } = hello;
    if (typeof maxt === 'number') wire.after(maxt * 1000, () => stream.closeGently(transport));
    return on;
  }

  /** Ends a stream as an application would. */
  reset(id: string, reason: string): void {
    const stream = this.streams.get(id);
    this.streams.delete(id);
    for (const transport of stream?.transports ?? []) {
      stream?.over(transport);
      transport.wire.write([`${reason}|1!`]);
      finish(transport.wire);
    }
  }

  beat(): void {
    for (const stream of this.streams.values()) {
      for (const transport of stream.transports) {
        if (transport.maxia > 0) transport.wire.write(['beat^']);
      }
    }
  }
}

function recv(
  server: ModelServer,
  id: string,
  stream: ModelStream,
  transport: ServerTransport,
  frames: readonly string[],
): void {
  if (!transport.open) return;
  let strings = 0;
  for (const raw of frames) {
    const frame = decodeFrame(raw);
    if (frame?.type === 'seqnum') transport.nextIn = frame.number;
    else if (frame?.type === 'string') {
      strings += 1;
      if (!stream.receive(transport.nextIn, frame.text)) {
        return stream.closeGently(transport, ['rwin_overflowK']);
      }
      transport.nextIn += 1;
    } else if (frame?.type === 'sack') {
      if (!stream.applySack(raw.slice(0, -1), frame.sack)) {
        return stream.closeGently(transport, ['acked_unsent_stringsK']);
      }
    } else if (frame?.type === 'reset') {
      stream.reset = frame.reason;
      server.streams.delete(id);
      for (const each of stream.transports) stream.closeGently(each);
      return;
    } else {
      return stream.closeGently(transport, ['invalid_frame_type_or_argumentsK']);
    }
  }
  if (strings > 0) stream.write(transport, [`${stream.sack()}A`]);
}
