/**
 * Model server for tests of the stream machine, written from docs/protocol.md. The model shares the frame codec with
 * the client, but no window. Its streams survive crashes, which only break connections. Frames of version 3 are passed in
 * the form of `OutFrame`; the callers encode them.
 */
import { decodeFrame, encodeMessage, type OutFrame } from '../src/frames.js';
import type { Message } from '../src/message.js';
import { formatSack, parseSack, type Sack } from '../src/sack.js';

/** Server side of a connection. */
export interface Wire {
  readonly kind: 'websocket' | 'http';
  /** Writes frames as one piece. */
  write(frames: OutFrame[]): void;
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
  readonly version: number;
}

/** Receive window of the server in messages behind a gap. */
const WINDOW = 50;

/** One stream of the model server. */
export class ModelStream {
  /** Messages delivered to the application. */
  readonly delivered: Message[] = [];
  /** Messages of the application; the index is the message number. */
  readonly sent: Message[] = [];
  #waiting = new Map<number, Message>();
  #acked = -1;
  #beyond = new Set<number>();
  #lastSack = '|-1';
  /** Messages below this number were written to a former primary and count as received until the next SACK. */
  #assumed = 0;
  #primary: ServerTransport | null = null;
  readonly transports = new Set<ServerTransport>();
  reset: string | null = null;

  writeToPrimary(frame: OutFrame): void {
    if (this.#primary) this.write(this.#primary, [frame]);
  }

  send(message: Message): void {
    this.sent.push(message);
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
  receive(number: number, message: Message): boolean {
    if (number < this.delivered.length || this.#waiting.has(number)) return true;
    if (number > this.delivered.length && this.#waiting.size >= WINDOW) return false;
    this.#waiting.set(number, message);
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

  write(transport: ServerTransport, frames: OutFrame[]): void {
    if (!transport.open) return;
    transport.wire.write(frames);
    transport.hasOutput ||= frames.some((frame) => frame !== KNOWN);
    this.endPoll(transport);
  }

  /** Ends a poll with output, unless its hello is being processed: pending messages follow the SACK. */
  endPoll(transport: ServerTransport): void {
    const { isPoll, wantsMessages, hasOutput, attaching } = transport;
    if (isPoll && wantsMessages && hasOutput && !attaching) this.closeInOrder(transport);
  }

  closeInOrder(transport: ServerTransport, more: OutFrame[] = []): void {
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

  #messageFrames(from: number, to: number): OutFrame[] {
    const frames: OutFrame[] = [];
    let next = -1;
    for (let number = Math.max(from, this.#acked + 1); number < to; number += 1) {
      if (this.#beyond.has(number)) continue;
      if (number !== next) frames.push(`${number}N`);
      frames.push(encodeMessage(this.sent[number] ?? ''));
      next = number + 1;
    }
    return frames;
  }
}

/** Claim tag of all messages. */
const TAG = '00000007b0d88862';

/** Returns whether the frame is a reset. */
export function isReset(frame: OutFrame): boolean {
  return typeof frame === 'string' && frame.endsWith('!');
}

/** Welcome of a client that has an earlier one; does not end a long-poll. */
const KNOWN = '{}W';

/** First frame of version 3. */
function welcome(hello: Record<string, unknown>): OutFrame {
  return `${JSON.stringify('born' in hello ? {} : { born: `1.${TAG}`, max: (1 << 20) - 1 })}W`;
}

/** Last frame of a transport that violates the protocol: a kill, or a refusal in version 3. */
function kill(version: number, reason: string, code: string, action = 'retry'): OutFrame {
  const refusal = { status: 409, code, title: code, do: action };
  return version === 3 ? `${JSON.stringify(refusal)}R` : `${reason}K`;
}

function heartbeat({ version }: ServerTransport): OutFrame {
  return version === 3 ? '^' : 'beat^';
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

  /** Credentials of accepted hellos and of renewals. */
  readonly creds: string[] = [];
  /** Versions of the wire protocol that the server has. */
  maxVersion = 2;

  /** Accepts a hello and the frames sent with it; returns the receiver of later frames, undefined if refused. */
  accept(wire: Wire, frames: readonly OutFrame[]): ((frames: readonly OutFrame[]) => void) | undefined {
    const hello = JSON.parse(String(frames[0]).slice(0, -1)) as Record<string, unknown>;
    const version = Number(hello['ver']);
    if (wire.kind === 'http' && version === 2) wire.write([';)]}^']);
    const id = String(hello['id']);
    let stream = this.streams.get(id);
    const resets = frames.some(isReset);
    const end = this.resets.get(id);
    if (!stream && (hello['new'] !== true || resets || end !== undefined)) {
      wire.write([(resets ? end : undefined) ?? kill(version, 'stream_attach_failure', 'gone', 'end')]);
      finish(wire);
      return undefined;
    }
    if (!stream) {
      stream = new ModelStream();
      this.streams.set(id, stream);
      this.created += 1;
    }
    if ('cred' in hello) this.creds.push(String(hello['cred']));
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
      version,
    };
    const first: OutFrame[] = version === 3 ? [welcome(hello)] : hello['new'] === true ? ['C'] : [];
    if (hello['seenack'] !== stream.sack()) first.push(`${stream.sack()}A`);
    const sackText = String(hello['sack']);
    const sack = parseSack(sackText);
    if ('sack' in hello && (!sack || !stream.applySack(sackText, sack))) {
      wire.write([...first, kill(version, 'acked_unsent_strings', 'acked_unsent')]);
      finish(wire);
      return undefined;
    }
    stream.transports.add(transport);
    if (transport.maxia > 0) {
      if (version === 2) first.push('beat^');
      const beat = (): void => {
        if (!transport.open) return;
        wire.write([heartbeat(transport)]);
        wire.after(transport.maxia * 1000, beat);
      };
      if (!transport.isPoll) wire.after(transport.maxia * 1000, beat);
    }
    const on = (more: readonly OutFrame[]): void => recv(this, id, stream, transport, more);
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

  /** Asks for new credentials on each primary. */
  wantCredentials(): void {
    for (const stream of this.streams.values()) stream.writeToPrimary('{"by":60}t');
  }

  /** Sends a heartbeat on each transport that asked for heartbeats. */
  sendHeartbeats(): void {
    for (const stream of this.streams.values()) {
      for (const transport of stream.transports) {
        if (transport.maxia > 0) transport.wire.write([heartbeat(transport)]);
      }
    }
  }
}

function recv(
  server: ModelServer,
  id: string,
  stream: ModelStream,
  transport: ServerTransport,
  frames: readonly OutFrame[],
): void {
  if (!transport.open) return;
  let messages = 0;
  for (const raw of frames) {
    const frame = typeof raw === 'string' ? decodeFrame(raw) : null;
    const message = typeof raw === 'string' && raw.endsWith(' ') ? raw.slice(0, -1) : raw;
    if (frame?.type === 'seqnum') transport.nextIn = frame.number;
    else if (message !== raw || typeof raw !== 'string') {
      messages += 1;
      if (!stream.receive(transport.nextIn, message)) {
        return stream.closeInOrder(transport, [kill(transport.version, 'rwin_overflow', 'window')]);
      }
      transport.nextIn += 1;
    } else if (frame?.type === 'sack') {
      if (!stream.applySack(String(raw).slice(0, -1), frame.sack)) {
        return stream.closeInOrder(transport, [kill(transport.version, 'acked_unsent_strings', 'acked_unsent')]);
      }
    } else if (/^\d+ \w{16}L$/.test(raw)) {
      // Claim tags: the store of the model loses nothing.
    } else if (raw.endsWith('t')) {
      server.creds.push((JSON.parse(raw.slice(0, -1)) as { cred: string }).cred);
    } else if (frame?.type === 'reset') {
      return server.reset(id, frame.reason, transport);
    } else {
      return stream.closeInOrder(transport, [kill(transport.version, 'invalid_frame_type_or_arguments', 'frame')]);
    }
  }
  if (messages > 0) stream.write(transport, [`${stream.sack()}A`]);
}
