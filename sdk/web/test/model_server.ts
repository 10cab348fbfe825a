/**
 * Model server for tests of the stream machine, written from docs/protocol.md. The model shares the frame codec with
 * the client, but no window. Its streams survive crashes, which only break connections.
 */
import { decodeFrame } from '../src/frames.js';
import { formatSack, parseSack, type Sack } from '../src/sack.js';

/** Server side of a connection. */
export interface Wire {
  readonly kind: 'websocket' | 'http';
  /** Writes frames as one piece. */
  write(frames: string[]): void;
  /** Schedules `run`, which a crash of the server cancels. */
  after(ms: number, run: () => void): unknown;
  /** Ends an HTTP response, or closes the socket. */
  end(): void;
}

interface ServerTransport {
  readonly wire: Wire;
  readonly tnum: number;
  readonly isPoll: boolean;
  readonly wantsMessages: boolean;
  readonly maxia: number;
  /** Number of the next message to write on a primary. */
  writtenTo: number;
  nextIn: number;
  open: boolean;
  hasOutput: boolean;
  /** The frames that came with the hello are being processed. */
  attaching: boolean;
}

/** Receive window of the server in messages behind a gap. */
const WINDOW = 50;

/** One stream of the model server. */
export class ModelStream {
  /** Messages delivered to the application. */
  readonly delivered: string[] = [];
  /** Messages of the application; the index is the message number. */
  readonly sent: string[] = [];
  #waiting = new Map<number, string>();
  #acked = -1;
  #beyond = new Set<number>();
  #lastSack = '|-1';
  /** Messages below this number were written to a former primary and count as received until the next SACK. */
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

  /** True if all sent messages are acknowledged. */
  get isSettled(): boolean {
    return this.#acked + this.#beyond.size === this.sent.length - 1;
  }

  becomePrimary(transport: ServerTransport, eeds: number | null): void {
    const old = this.#primary?.open ? this.#primary : null;
    this.#primary = transport;
    transport.writtenTo = this.#acked + 1;
    if (old && old.tnum === eeds) transport.writtenTo = this.#assumed = old.writtenTo;
    if (old) this.closeInOrder(old);
  }

  /** Applies a SACK; returns false if it acknowledges an unsent message. */
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
      const again = this.#messageFrames(this.#acked + 1, this.#assumed);
      this.#assumed = 0;
      if (again.length > 0) this.write(primary, again);
      primary.writtenTo = writtenTo;
    }
    return true;
  }

  /** Accepts a message; returns false if the window is full. */
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
    const frames = this.#messageFrames(transport.writtenTo, this.sent.length);
    transport.writtenTo = this.sent.length;
    if (frames.length > 0) this.write(transport, frames);
  }

  write(transport: ServerTransport, frames: string[]): void {
    if (!transport.open) return;
    transport.wire.write(frames);
    transport.hasOutput = true;
    this.endPoll(transport);
  }

  /** Ends a poll with output, unless its hello is being processed: pending messages follow the SACK. */
  endPoll(transport: ServerTransport): void {
    const { isPoll, wantsMessages, hasOutput, attaching } = transport;
    if (isPoll && wantsMessages && hasOutput && !attaching) this.closeInOrder(transport);
  }

  closeInOrder(transport: ServerTransport, more: string[] = []): void {
    if (!transport.open) return;
    this.detach(transport);
    transport.wire.write([`${this.sack()}A`, `${this.#lastSack}T`, ...more]);
    finish(transport.wire);
  }

  detach(transport: ServerTransport): void {
    transport.open = false;
    this.transports.delete(transport);
    if (this.#primary === transport) this.#primary = null;
  }

  #messageFrames(from: number, to: number): string[] {
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

/** The model server: accepts connections and dispatches them to streams. */
export class ModelServer {
  readonly streams = new Map<string, ModelStream>();
  /** Number of streams created, ended ones included. */
  created = 0;
  /** The reset frames that ended streams, by id. */
  readonly resets = new Map<string, string>();

  /** Accepts a hello and the frames sent with it; returns the receiver of later frames, undefined if refused. */
  accept(wire: Wire, frames: readonly string[]): ((frames: readonly string[]) => void) | undefined {
    if (wire.kind === 'http') wire.write([';)]}^']);
    const hello = JSON.parse((frames[0] ?? '').slice(0, -1)) as Record<string, unknown>;
    const id = String(hello['id']);
    let stream = this.streams.get(id);
    const resets = frames.some((frame) => frame.endsWith('!'));
    const end = this.resets.get(id);
    if (!stream && (hello['new'] !== true || resets || end !== undefined)) {
      wire.write([(resets ? end : undefined) ?? 'stream_attach_failureK']);
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
      wantsMessages: 'eeds' in hello,
      maxia: Number(hello['maxia']),
      writtenTo: 0,
      nextIn: 0,
      open: true,
      hasOutput: false,
      attaching: true,
    };
    const first: string[] = hello['new'] === true ? ['C'] : [];
    if (hello['seenack'] !== stream.sack()) first.push(`${stream.sack()}A`);
    const sackText = String(hello['sack']);
    const sack = parseSack(sackText);
    if ('sack' in hello && (!sack || !stream.applySack(sackText, sack))) {
      wire.write([...first, 'acked_unsent_stringsK']);
      finish(wire);
      return undefined;
    }
    stream.transports.add(transport);
    if (transport.maxia > 0) {
      first.push('beat^');
      const beat = (): void => {
        if (!transport.open) return;
        wire.write(['beat^']);
        wire.after(transport.maxia * 1000, beat);
      };
      if (!transport.isPoll) wire.after(transport.maxia * 1000, beat);
    }
    const on = (more: readonly string[]): void => recv(this, id, stream, transport, more);
    if (transport.wantsMessages) stream.becomePrimary(transport, hello['eeds'] as number | null);
    if (!resets && first.length > 0) stream.write(transport, first);
    on(frames.slice(1));
    if (transport.isPoll && !transport.wantsMessages) stream.closeInOrder(transport);
    stream.flush(transport);
    transport.attaching = false;
    stream.endPoll(transport);
    const { maxt } = hello;
    if (typeof maxt === 'number') wire.after(maxt * 1000, () => stream.closeInOrder(transport));
    return on;
  }

  /** Resets a stream as an application would, or as the client does on the transport `by`. */
  reset(id: string, reason: string, by?: ServerTransport): void {
    const stream = this.streams.get(id);
    if (!stream) return;
    stream.reset = reason;
    this.streams.delete(id);
    this.resets.set(id, `${reason}|1!`);
    if (by) stream.closeInOrder(by);
    for (const transport of stream.transports) {
      stream.detach(transport);
      const { wire } = transport;
      const inform = (): void => {
        wire.write([`${reason}|1!`]);
        finish(wire);
      };
      // On two sockets of one machine, the response with the SACK usually arrives first.
      if (by) wire.after(10, inform);
      else inform();
    }
  }

  /** Sends a heartbeat on each transport that asked for heartbeats. */
  sendHeartbeats(): void {
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
  let messages = 0;
  for (const raw of frames) {
    const frame = decodeFrame(raw);
    if (frame?.type === 'seqnum') transport.nextIn = frame.number;
    else if (frame?.type === 'string') {
      messages += 1;
      if (!stream.receive(transport.nextIn, frame.text)) {
        return stream.closeInOrder(transport, ['rwin_overflowK']);
      }
      transport.nextIn += 1;
    } else if (frame?.type === 'sack') {
      if (!stream.applySack(raw.slice(0, -1), frame.sack)) {
        return stream.closeInOrder(transport, ['acked_unsent_stringsK']);
      }
    } else if (frame?.type === 'reset') {
      return server.reset(id, frame.reason, transport);
    } else {
      return stream.closeInOrder(transport, ['invalid_frame_type_or_argumentsK']);
    }
  }
  if (messages > 0) stream.write(transport, [`${stream.sack()}A`]);
}
