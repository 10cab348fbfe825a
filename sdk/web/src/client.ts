/**
 * The client as applications see it: turns what its driver tells into events, promises and an async
 * iteration.
 *
 *     const stream = new MinervaStream('/_minerva/');
 *     stream.onmessage = (event) => console.log(event.data);
 *     await stream.send('hello'); // durable on the server now
 */
import { Driver, now, type AppOutput } from './driver.js';
import { isMessageAllowed, MAX_REASON, MAX_MESSAGE } from './frames.js';
import { newStreamId } from './ids.js';
import { toJson } from './hello.js';
import { Inbox } from './inbox.js';
import { Qan, QanError, type QanHandler } from './qan.js';
import type { Counters, End, Kind, State } from './stream/types.js';

export { Qan, QanError, toJson };
export type { Counters, End, Kind, QanHandler, State };

/** `ready` waits while more bytes than this are unacknowledged. */
export const HIGH_WATER = 256 * 1024;
/** Characters of credentials that servers take. */
const MAX_CRED = 8192;
/** `send` refuses what would make the unacknowledged bytes more than this. */
export const MAX_BUFFERED = 16 << 20;

export interface MinervaOptions {
  /** The only kind of transport to use; `auto`, unless given: the best that works, changing with the network. */
  readonly transport?: Kind | 'auto';
  /** Shown to the application when the stream starts; at most 8 KiB. */
  readonly cred?: string;
  /** Seconds of silence after which the server sends a heartbeat, 1 to 600; 20 unless given. */
  readonly heartbeat?: number;
}

/** What carries the stream now (`null`: nothing) and why that was opened. */
export interface TransportChange {
  readonly kind: Kind | null;
  readonly why: string;
}

/** Why a promise of a stream was rejected: the stream ended, or the argument cannot be sent. */
export class MinervaError extends Error {
  override readonly name = 'MinervaError';
}

export interface StreamEvents {
  message: string;
  transport: TransportChange;
  state: State;
  end: End;
  /** An upload is about to be made: what is sent now travels along. */
  upload: null;
}

type Handler<K extends keyof StreamEvents> = Listener<K> | null;

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: MinervaError) => void;
}

type Listener<K extends keyof StreamEvents> = (event: MessageEvent<StreamEvents[K]>) => void;

export interface MinervaStream {
  addEventListener<K extends keyof StreamEvents>(type: K, listener: Listener<K>, options?: AddEventListenerOptions | boolean): void;
  addEventListener(...event: Parameters<EventTarget['addEventListener']>): void;
  removeEventListener<K extends keyof StreamEvents>(type: K, listener: Listener<K>, options?: EventListenerOptions | boolean): void;
  removeEventListener(...event: Parameters<EventTarget['removeEventListener']>): void;
}

/**
 * A stream of strings with the application behind `url`, in order, each once, over whatever
 * transport works. Events: see `StreamEvents`; the value is in `event.data`.
 */
export class MinervaStream extends EventTarget {
  /** The secret that names the stream. */
  readonly id = newStreamId();
  onmessage: Handler<'message'> = null;
  ontransport: Handler<'transport'> = null;
  onstate: Handler<'state'> = null;
  onend: Handler<'end'> = null;
  onupload: Handler<'upload'> = null;
  #driver: Driver;
  /** Who waits for the acknowledgement of a string, by its number. */
  #sends = new Map<number, Deferred>();
  #readies: Deferred[] = [];
  #inboxes = new Set<Inbox>();
  #end: End | null = null;
  #qan: Qan | null = null;
  #readable: ReadableStream<string> | null = null;
  #writable: WritableStream<string> | null = null;

  /** `url` is the address of the service, `/_minerva/` for the default one. */
  constructor(url: string | URL = '/_minerva/', options: MinervaOptions = {}) {
    super();
    const base = new URL(url, globalThis.location?.href);
    if (!base.pathname.endsWith('/')) base.pathname += '/';
    const { transport = 'auto', ...rest } = options;
    const { cred = '', heartbeat = 1 } = rest;
    if (cred.length > MAX_CRED) throw new MinervaError(`cred has at most ${MAX_CRED} characters`);
    if (!(heartbeat >= 1 && heartbeat <= 600)) throw new MinervaError('heartbeat is 1 to 600 s');
    this.#driver = new Driver(
      base,
      { ...rest, id: this.id, kind: transport, random: Math.random, beforeUpload: () => this.#dispatch('upload', null) },
      (output) => this.#onOutput(output),
      () => this.#onIdle(),
    );
    // After the caller had the chance to set handlers.
    queueMicrotask(() => this.#driver.run());
  }

  /**
   * Sends a string of the characters 0x20-0x7E, at most 1,048,575. The promise is fulfilled when
   * the string is durable on the server, and rejected if the stream ends before.
   */
  send(text: string): Promise<void> {
    const problem = this.#validate(text);
    return problem ? Promise.reject(new MinervaError(problem)) : this.#send(text);
  }

  #send(text: string): Promise<void> {
    const number = this.#driver.machine.send(text);
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(number, { resolve, reject }));
    // A caller who does not look at the promise learns of the end by its event.
    sent.catch(() => {});
    this.#driver.schedule();
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
    return this.#driver.machine.unackedBytes;
  }

  get state(): State {
    return this.#driver.machine.state;
  }

  /** The kind of transport that carries the stream now; null: none. */
  get transport(): Kind | null {
    return this.#driver.machine.transport;
  }

  get counters(): Readonly<Counters> {
    return this.#driver.machine.counters;
  }

  /** How the stream ended; null: it has not. */
  get end(): End | null {
    return this.#end;
  }

  /** Questions, answers and notifications. From its first use on all strings belong to it. */
  get qan(): Qan {
    return (this.#qan ??= new Qan(
      (text) => this.send(text),
      (reason) => this.reset(reason),
    ));
  }

  /** The strings that come, as a WHATWG stream: one for all who ask. */
  get readable(): ReadableStream<string> {
    const make = (): ReadableStream<string> => {
      const strings = this[Symbol.asyncIterator]();
      const pull = async (controller: ReadableStreamDefaultController<string>): Promise<void> => {
        const { done, value } = await strings.next();
        if (done) controller.close();
        else controller.enqueue(value);
      };
      return new ReadableStream({ pull, cancel: () => void strings.return?.() }, { highWaterMark: 0 });
    };
    return (this.#readable ??= make());
  }

  /** Takes strings to send, as a WHATWG stream; closed when all are durable on the server, aborted by a reset. */
  get writable(): WritableStream<string> {
    let last: Promise<void> | undefined;
    const write = async (text: string): Promise<void> => {
      await this.ready;
      const problem = this.#validate(text);
      if (problem) throw new MinervaError(problem);
      last = this.#send(text);
    };
    return (this.#writable ??= new WritableStream({ write, close: () => last, abort: () => this.reset('aborted') }));
  }

  /** Uses this kind of transport only, or `auto`; it takes over before the present one ends. */
  switchTo(kind: Kind | 'auto'): void {
    this.#driver.machine.switchTo(kind, now());
    this.#driver.run();
  }

  /** Drops the transport as a broken network would; the stream finds a new one. For tests and demos. */
  cut(): void {
    this.#driver.machine.cut(now());
    this.#driver.run();
  }

  /** Gives the stream up, on both sides. `reason`: at most 255 characters 0x20-0x7E. */
  reset(reason = ''): void {
    if (reason.length > MAX_REASON || !isMessageAllowed(reason)) {
      throw new MinervaError('a reason has at most 255 characters 0x20-0x7E');
    }
    this.#driver.machine.reset(reason, now());
    this.#driver.run();
  }

  /** The strings that come from now on; the server is held back while they are not taken. */
  [Symbol.asyncIterator](): AsyncIterableIterator<string> {
    const inbox = new Inbox(
      () => this.#applyBackPressure(),
      (gone) => {
        this.#inboxes.delete(gone);
        this.#applyBackPressure();
      },
    );
    if (this.#end) inbox.end();
    else this.#inboxes.add(inbox);
    return inbox;
  }

  #validate(text: string): string | null {
    if (this.#end) return this.#endError().message;
    if (text.length > MAX_MESSAGE) return `a string has at most ${MAX_MESSAGE} characters: split it`;
    if (!isMessageAllowed(text)) {
      return `strings have the characters 0x20-0x7E only, not the one at ${text.search(/[^ -~]/)}: send toJson(value)`;
    }
    return this.bufferedAmount + text.length > MAX_BUFFERED ? 'the send buffer is full: await ready' : null;
  }

  #endError(): MinervaError {
    return new MinervaError(`the stream has ended: ${this.#end?.reason ?? ''}`);
  }

  #onIdle(): void {
    if (this.bufferedAmount <= HIGH_WATER) for (const { resolve } of this.#readies.splice(0)) resolve();
  }

  #onOutput(output: AppOutput): void {
    switch (output.do) {
      case 'deliver':
        if (this.#qan) return this.#qan.recv(output.text);
        for (const inbox of this.#inboxes) inbox.push(output.text);
        this.#applyBackPressure();
        return this.#dispatch('message', output.text);
      case 'acked':
        this.#sends.get(output.number)?.resolve();
        this.#sends.delete(output.number);
        return;
      case 'transport':
        return this.#dispatch('transport', { kind: output.kind, why: output.why });
      case 'state':
        return this.#dispatch('state', output.state);
      case 'end':
        return this.#onEnd(output.end);
    }
  }

  #applyBackPressure(): void {
    const full = [...this.#inboxes].some((inbox) => inbox.isFull);
    if (this.#driver.machine.setPaused(full)) this.#driver.schedule();
  }

  #onEnd(end: End): void {
    this.#end = end;
    const error = this.#endError();
    for (const { reject } of [...this.#sends.values(), ...this.#readies.splice(0)]) reject(error);
    this.#sends.clear();
    this.#qan?.end(error);
    for (const inbox of this.#inboxes) inbox.end();
    this.#dispatch('end', end);
  }

  #dispatch<K extends keyof StreamEvents>(type: K, data: StreamEvents[K]): void {
    const event = new MessageEvent(type, { data });
    try {
      (this[`on${type}`] as Handler<K>)?.call(this, event);
    } catch (error) {
      // As for any event handler: it does not stop the stream.
      queueMicrotask(() => {
        throw error;
      });
    }
    this.dispatchEvent(event);
  }
}
