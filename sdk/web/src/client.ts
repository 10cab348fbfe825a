/**
 * The client as applications see it: runs the stream machine with real sockets, clock and
 * randomness, and turns its outputs into events, promises and an async iteration.
 *
 *     const stream = new MinervaStream('/_minerva/');
 *     stream.onstring = (event) => console.log(event.data);
 *     await stream.send('hello'); // durable on the server now
 */
import { isStringAllowed, MAX_REASON, MAX_STRING } from './frames.js';
import { newStreamId } from './ids.js';
import { Inbox } from './inbox.js';
import { StreamMachine } from './stream.js';
import type { Counters, Kind, Output, State } from './stream/types.js';
import { openHttpStream } from './transports/http_stream.js';
import { openLongPoll } from './transports/longpoll.js';
import type { TransportHandle } from './transports/transport.js';
import { openWebSocket } from './transports/websocket.js';

export type { Counters, Kind, State };

/** `ready` waits while more bytes than this are unacknowledged. */
export const HIGH_WATER = 256 * 1024;
/** `send` refuses what would make the unacknowledged bytes more than this. */
export const MAX_BUFFERED = 16 << 20;

export interface MinervaOptions {
  /** The first kind of transport; `websocket` unless given. */
  readonly transport?: Kind;
  /** Shown to the application when the stream starts; at most 8 KiB. */
  readonly cred?: string;
}

/** How a stream ended; `applicationLevel`: because an application said so. */
export interface End {
  readonly reason: string;
  readonly applicationLevel: boolean;
}

/** Why a promise of a stream was rejected: the stream ended, or the argument cannot be sent. */
export class MinervaError extends Error {
  override readonly name = 'MinervaError';
}

interface StreamEvents {
  string: string;
  transport: Kind | null;
  state: State;
  end: End;
}

type Handler<K extends keyof StreamEvents> = ((event: MessageEvent<StreamEvents[K]>) => void) | null;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: MinervaError) => void;
}

/**
 * A stream of strings with the application behind `url`, in order, each once, over whatever
 * transport works. Events: `string`, `transport`, `state`, `end`; the value is in `event.data`.
 */
export class MinervaStream extends EventTarget {
  /** The secret that names the stream. */
  readonly id = newStreamId();
  onstring: Handler<'string'> = null;
  ontransport: Handler<'transport'> = null;
  onstate: Handler<'state'> = null;
  onend: Handler<'end'> = null;
  #machine: StreamMachine;
  #ioUrl: string;
  #wsUrl: string;
  #transports = new Map<number, TransportHandle>();
  /** Who waits for the acknowledgement of a string, by its number. */
  #sends = new Map<number, Waiter>();
  #readies: Waiter[] = [];
  #inboxes = new Set<Inbox>();
  #end: End | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;

  /** `url` is the address of the service, `/_minerva/` for the default one. */
  constructor(url: string | URL = '/_minerva/', options: MinervaOptions = {}) {
    super();
    const base = new URL(url, globalThis.location?.href);
    if (!base.pathname.endsWith('/')) base.pathname += '/';
    this.#ioUrl = new URL('io/', base).href;
    this.#wsUrl = new URL('ws', base).href.replace(/^http/, 'ws');
    this.#machine = new StreamMachine({
      id: this.id,
      kind: options.transport ?? 'websocket',
      random: Math.random,
      ...(options.cred === undefined ? {} : { cred: options.cred }),
    });
    globalThis.addEventListener?.('online', this.#onOnline);
    // After the caller had the chance to set handlers.
    queueMicrotask(() => this.#run());
  }

  /**
   * Sends a string of the characters 0x20-0x7E, at most 1,048,575. The promise is fulfilled when
   * the string is durable on the server, and rejected if the stream ends before.
   */
  send(text: string): Promise<void> {
    const problem = this.#problem(text);
    if (problem) return Promise.reject(new MinervaError(problem));
    const number = this.#machine.send(text);
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(number, { resolve, reject }));
    // A caller who does not look at the promise learns of the end by its event.
    sent.catch(() => {});
    this.#soon();
    return sent;
  }

  /** Fulfilled when it is a good time to send: less than HIGH_WATER bytes are unacknowledged. */
  get ready(): Promise<void> {
    if (this.#end) return Promise.reject(this.#endError());
    if (this.bufferedAmount <= HIGH_WATER) return Promise.resolve();
    return new Promise((resolve, reject) => this.#readies.push({ resolve, reject }));
  }

  /** Bytes given to `send` and not acknowledged. */
  get bufferedAmount(): number {
    return this.#machine.bufferedAmount;
  }

  get state(): State {
    return this.#machine.state;
  }

  /** The kind of transport that carries the stream now; null: none. */
  get transport(): Kind | null {
    return this.#machine.transport;
  }

  get counters(): Readonly<Counters> {
    return this.#machine.counters;
  }

  /** How the stream ended; null: it has not. */
  get end(): End | null {
    return this.#end;
  }

  /** Moves the stream to another kind of transport, which takes over before the present one ends. */
  switchTo(kind: Kind): void {
    this.#machine.switchTo(kind, now());
    this.#run();
  }

  /** Drops the transport as a broken network would; the stream finds a new one. For tests and demos. */
  cut(): void {
    this.#machine.cut(now());
    this.#run();
  }

  /** Gives the stream up, on both sides. `reason`: at most 255 characters 0x20-0x7E. */
  reset(reason = ''): void {
    if (reason.length > MAX_REASON || !isStringAllowed(reason)) {
      throw new MinervaError('a reason has at most 255 characters, all in 0x20-0x7E');
    }
    this.#machine.reset(reason, now());
    this.#run();
  }

  /** The strings that come from now on; the server is held back while they are not taken. */
  [Symbol.asyncIterator](): AsyncIterableIterator<string> {
    const inbox = new Inbox(
      () => this.#hold(),
      (gone) => {
        this.#inboxes.delete(gone);
        this.#hold();
      },
    );
    if (this.#end) inbox.end();
    else this.#inboxes.add(inbox);
    return inbox;
  }

  #problem(text: string): string | null {
    if (this.#end) return this.#endError().message;
    if (text.length > MAX_STRING) return `a string has at most ${MAX_STRING} characters`;
    if (!isStringAllowed(text)) return 'a string has only characters 0x20-0x7E';
    if (this.bufferedAmount + text.length > MAX_BUFFERED) return 'the send buffer is full: await ready';
    return null;
  }

  #endError(): MinervaError {
    return new MinervaError(`the stream has ended: ${this.#end?.reason ?? ''}`);
  }

  #onOnline = (): void => {
    this.#machine.hurry(now());
    this.#run();
  };

  #scheduled = false;

  /** Runs the machine once for all calls of this turn: their strings go out together. */
  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  /** Executes what the machine asks for until it asks for nothing, then sets the timer. */
  #run(): void {
    // A handler of an event may call back into the stream: the outer run goes on with that.
    if (this.#running) return;
    this.#running = true;
    try {
      let outputs = this.#machine.drain(now());
      while (outputs.length > 0) {
        for (const output of outputs) this.#execute(output);
        outputs = this.#machine.drain(now());
      }
    } finally {
      this.#running = false;
    }
    clearTimeout(this.#timer);
    const timeout = this.#machine.pollTimeout();
    if (timeout !== null) this.#timer = setTimeout(() => this.#run(), Math.max(0, timeout - now()));
    if (this.bufferedAmount <= HIGH_WATER) for (const { resolve } of this.#readies.splice(0)) resolve();
  }

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output.tnum, output.kind, output.frames);
      case 'write':
        return this.#transports.get(output.tnum)?.write(output.frames);
      case 'close':
        this.#transports.get(output.tnum)?.close();
        this.#transports.delete(output.tnum);
        return;
      case 'deliver':
        for (const inbox of this.#inboxes) inbox.push(output.text);
        this.#hold();
        return this.#emit('string', output.text);
      case 'acked':
        this.#sends.get(output.number)?.resolve();
        this.#sends.delete(output.number);
        return;
      case 'transport':
        return this.#emit('transport', output.kind);
      case 'state':
        return this.#emit('state', output.state);
      case 'end':
        return this.#onEnd({ reason: output.reason, applicationLevel: output.applicationLevel });
    }
  }

  #open(tnum: number, kind: Kind | 'upload', frames: readonly string[]): void {
    const [open, url] =
      kind === 'websocket'
        ? [openWebSocket, this.#wsUrl]
        : [kind === 'http-stream' ? openHttpStream : openLongPoll, this.#ioUrl];
    const handle = open(url, frames, (received, ending) => {
      if (received.length > 0) this.#machine.recvFrames(tnum, received, now());
      if (ending) {
        this.#machine.onClosed(tnum, ending, now());
        this.#transports.delete(tnum);
      }
      this.#run();
    });
    this.#transports.set(tnum, handle);
  }

  #hold(): void {
    const full = [...this.#inboxes].some((inbox) => inbox.isFull);
    if (this.#machine.hold(full)) this.#soon();
  }

  #onEnd(end: End): void {
    this.#end = end;
    globalThis.removeEventListener?.('online', this.#onOnline);
    const error = this.#endError();
    for (const { reject } of [...this.#sends.values(), ...this.#readies.splice(0)]) reject(error);
    this.#sends.clear();
    for (const inbox of this.#inboxes) inbox.end();
    this.#emit('end', end);
  }

  #emit<K extends keyof StreamEvents>(type: K, data: StreamEvents[K]): void {
    const event = new MessageEvent(type, { data });
    const handlers: { [E in keyof StreamEvents]: Handler<E> } = {
      string: this.onstring,
      transport: this.ontransport,
      state: this.onstate,
      end: this.onend,
    };
    try {
      handlers[type]?.call(this, event);
    } catch (error) {
      // As for any event handler: it does not stop the stream.
      queueMicrotask(() => {
        throw error;
      });
    }
    this.dispatchEvent(event);
  }
}

function now(): number {
  return performance.now();
}
