/**
 * Public API of the client: maps the outputs of the driver to events, promises, an async iteration and WHATWG streams.
 * Pages import this module; `script.ts` exports the same API to classic scripts.
 */
import { Driver, now, type AppOutput } from './driver.js';
import { isMessageAllowed, MAX_MESSAGE, MAX_REASON } from './frames.js';
import { newStreamId } from './ids.js';
import { toJson } from './hello.js';
import { Inbox } from './inbox.js';
import { Qan, QanError, type QanHandler } from './qan.js';
import type { Counters, End, Kind, State } from './stream/types.js';

export { Qan, QanError, toJson };
export type { Counters, End, Kind, QanHandler, State };

/** Unacknowledged bytes above which `MinervaStream.ready` is pending. */
export const HIGH_WATER = 256 * 1024;
/** Longest `cred` in characters that servers accept. */
const MAX_CRED = 8192;
/** Upper bound of unacknowledged bytes; `MinervaStream.send` rejects messages beyond this bound. */
export const MAX_BUFFERED = 16 << 20;

/**
 * Options of a stream.
 *
 *     new MinervaStream('/_minerva/', { cred: token, heartbeat: 10 });
 */
export interface MinervaOptions {
  /** Transport kind to use exclusively; default `auto`, the best kind that works in the present network. */
  readonly transport?: Kind | 'auto';
  /** Credentials passed to the application at the start of the stream; at most 8,192 characters. */
  readonly cred?: string;
  /** Heartbeat interval of the server in seconds, 1 to 600; default 20. */
  readonly heartbeat?: number;
}

/**
 * Data of a `transport` event.
 *
 *     stream.ontransport = ({ data }) => console.log(data.kind ?? 'offline', data.why);
 */
export interface TransportChange {
  /** Kind that carries the stream now; null without a transport. */
  readonly kind: Kind | null;
  /** Reason in one word, for diagnostics: `start`, `lost`, `better`, `fallback`, `switch`, ... */
  readonly why: string;
}

/**
 * Reason for a rejected call: the stream has ended, or an argument is invalid.
 *
 *     await stream.send(text).catch((error) => showError(error.message));
 */
export class MinervaError extends Error {
  override readonly name = 'MinervaError';
}

/**
 * Event types of a stream and the type of `event.data`.
 *
 *     stream.addEventListener('state', ({ data }) => setOnline(data === 'open'));
 */
export interface StreamEvents {
  /** A message arrived. */
  message: string;
  /** Another transport kind carries the stream. */
  transport: TransportChange;
  /** The state of the stream changed. */
  state: State;
  /** The stream ended; only the last `transport` and `state` events follow. */
  end: End;
  /** An HTTP upload is about to start; messages sent in the handler share the request. */
  upload: null;
}

type Handler<K extends keyof StreamEvents> = Listener<K> | null;

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: MinervaError) => void;
}

type Listener<K extends keyof StreamEvents> = (event: MessageEvent<StreamEvents[K]>) => void;

/** Typed listeners; see `StreamEvents`. */
export interface MinervaStream {
  addEventListener<K extends keyof StreamEvents>(
    type: K,
    listener: Listener<K>,
    options?: AddEventListenerOptions | boolean,
  ): void;
  addEventListener(...event: Parameters<EventTarget['addEventListener']>): void;
  removeEventListener<K extends keyof StreamEvents>(
    type: K,
    listener: Listener<K>,
    options?: EventListenerOptions | boolean,
  ): void;
  removeEventListener(...event: Parameters<EventTarget['removeEventListener']>): void;
}

/**
 * Reliable, ordered, two-way stream of messages between this page and an application service.
 *
 *     const stream = new MinervaStream('/_minerva/');
 *     stream.onmessage = (event) => console.log(event.data);
 *     await stream.send('hello'); // durable on the server now
 *
 * Each message arrives exactly once and in order, on any transport. `StreamEvents` lists the events.
 */
export class MinervaStream extends EventTarget {
  /** Id of the stream. The id is a secret: its holder can read and write the stream. */
  readonly id = newStreamId();
  /** Handler of `message` events: `stream.onmessage = ({ data }) => show(data)`. */
  onmessage: Handler<'message'> = null;
  /** Handler of `transport` events; see `TransportChange`. */
  ontransport: Handler<'transport'> = null;
  /** Handler of `state` events; see `State`. */
  onstate: Handler<'state'> = null;
  /** Handler of the `end` event; see `End`. */
  onend: Handler<'end'> = null;
  /** Handler of `upload` events: `stream.onupload = () => stream.send(position())` adds a message to the upload. */
  onupload: Handler<'upload'> = null;
  #driver: Driver;
  /** Promises of unacknowledged messages, by message number. */
  #sends = new Map<number, Deferred>();
  #readies: Deferred[] = [];
  #inboxes = new Set<Inbox>();
  #end: End | null = null;
  /** Error of calls after `reset` or the end; null before. */
  #error: MinervaError | null = null;
  #qan: Qan | null = null;
  #readable: ReadableStream<string> | null = null;
  #writable: WritableStream<string> | null = null;

  /**
   * Opens a stream to the service at `url`: `/_minerva/` for the default service, `/_minerva/NAME/` for another.
   * Throws `MinervaError` for invalid options. Events start in a later turn, so set the handlers right away.
   */
  constructor(url: string | URL = '/_minerva/', options: MinervaOptions = {}) {
    super();
    const base = new URL(url, globalThis.location?.href);
    if (!base.pathname.endsWith('/')) base.pathname += '/';
    const { transport = 'auto', ...rest } = options;
    const { cred = '', heartbeat = 1 } = rest;
    if (cred.length > MAX_CRED) throw new MinervaError(`cred has at most ${MAX_CRED} characters`);
    if (!(heartbeat >= 1 && heartbeat <= 600)) throw new MinervaError('heartbeat is 1 to 600 s');
    const beforeUpload = (): void => this.#dispatch('upload', null);
    this.#driver = new Driver(
      base,
      { ...rest, id: this.id, kind: transport, random: Math.random, beforeUpload },
      (output) => this.#onOutput(output),
      () => this.#onIdle(),
    );
    // Deferred, so that the caller can set handlers first.
    queueMicrotask(() => this.#driver.run());
  }

  /**
   * Queues a message: at most 1,048,575 characters 0x20-0x7E; `toJson` encodes any value this way. The promise is
   * fulfilled when the message is durable on the server, and rejected with `MinervaError` if the message is invalid,
   * the send buffer (16 MiB) is full, or the stream ends first.
   *
   *     await stream.send(toJson({ text: 'hello' }));
   */
  send(text: string): Promise<void> {
    const problem = this.#validate(text);
    return problem ? Promise.reject(new MinervaError(problem)) : this.#send(text);
  }

  #send(text: string): Promise<void> {
    const number = this.#driver.machine.send(text);
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(number, { resolve, reject }));
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    sent.catch(() => {});
    this.#driver.schedule();
    return sent;
  }

  /**
   * Back-pressure: fulfilled while at most 256 KiB are unacknowledged, rejected after `reset` or the end.
   *
   *     for (const line of lines) {
   *       await stream.ready;
   *       stream.send(line);
   *     }
   */
  get ready(): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.bufferedAmount <= HIGH_WATER) return Promise.resolve();
    return new Promise((resolve, reject) => this.#readies.push({ resolve, reject }));
  }

  /** Bytes passed to `send` and not yet acknowledged, as `WebSocket.bufferedAmount`. */
  get bufferedAmount(): number {
    return this.#driver.machine.unackedBytes;
  }

  /** Current state; `onstate` reports changes. */
  get state(): State {
    return this.#driver.machine.state;
  }

  /** Kind of the transport that carries the stream; null without one. `ontransport` reports changes. */
  get transport(): Kind | null {
    return this.#driver.machine.transport;
  }

  /** Message and reconnect counts of this stream: `stream.counters.reconnects`. */
  get counters(): Readonly<Counters> {
    return this.#driver.machine.counters;
  }

  /** Cause of the end; null before the end. `onend` reports the same value. */
  get end(): End | null {
    return this.#end;
  }

  /**
   * Questions, answers and notifications. From the first use of this property, QAN receives all messages and
   * `message` events stop; use it before the first message arrives.
   *
   *     const answer = await stream.qan.ask('time?');
   */
  get qan(): Qan {
    return (this.#qan ??= new Qan(
      (text) => this.send(text),
      (reason) => this.reset(reason),
    ));
  }

  /**
   * Received messages as a WHATWG stream; each access returns the same stream. Unread messages pause the server.
   *
   *     await stream.readable.pipeTo(sink);
   */
  get readable(): ReadableStream<string> {
    const make = (): ReadableStream<string> => {
      const messages = this[Symbol.asyncIterator]();
      const pull = async (controller: ReadableStreamDefaultController<string>): Promise<void> => {
        const { done, value } = await messages.next();
        if (done) controller.close();
        else controller.enqueue(value);
      };
      return new ReadableStream({ pull, cancel: () => void messages.return?.() }, { highWaterMark: 0 });
    };
    return (this.#readable ??= make());
  }

  /**
   * Outgoing messages as a WHATWG stream. `close` is fulfilled when all messages are durable on the server; `abort`
   * resets the stream.
   *
   *     await source.pipeTo(stream.writable);
   */
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

  /**
   * Restricts the stream to one transport kind, or lifts the restriction with `auto`. The new transport takes over
   * before the current one closes.
   *
   *     stream.switchTo('long-poll');
   */
  switchTo(kind: Kind | 'auto'): void {
    this.#driver.machine.switchTo(kind, now());
    this.#driver.run();
  }

  /** Drops the transport as a network failure would; the stream reconnects. For tests and demos: `stream.cut()`. */
  cut(): void {
    this.#driver.machine.cut(now());
    this.#driver.run();
  }

  /**
   * Ends the stream on both sides. `reason` is at most 255 characters 0x20-0x7E, else `MinervaError` is thrown.
   *
   *     stream.reset('signed out');
   *
   * The call returns at once; from now on `send` is rejected and no message arrives. The reset is repeated until the
   * server confirms the end, for at most 120 s, and once more at page unload. Then the `end` event follows, with the
   * reason that the application received: an earlier one if the stream had ended already. Without a confirmation the
   * reason is `reset not confirmed`.
   */
  reset(reason = ''): void {
    if (reason.length > MAX_REASON || !isMessageAllowed(reason)) {
      throw new MinervaError('a reason has at most 255 characters 0x20-0x7E');
    }
    if (!this.#error) this.#refuseCalls(reason);
    this.#driver.machine.reset(reason, now());
    this.#driver.schedule();
  }

  /**
   * Iterates over the messages that arrive from now on. A slow loop pauses the server.
   *
   *     for await (const message of stream) await store(message);
   */
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
    if (this.#error) return this.#error.message;
    if (text.length > MAX_MESSAGE) return `a message has at most ${MAX_MESSAGE} characters: split it`;
    if (!isMessageAllowed(text)) {
      return `messages have the characters 0x20-0x7E only, not the one at ${text.search(/[^ -~]/)}: send toJson(value)`;
    }
    return this.bufferedAmount + text.length > MAX_BUFFERED ? 'the send buffer is full: await ready' : null;
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

  /** Rejects all calls from now on, and the pending ones that need an open stream. */
  #refuseCalls(reason: string): MinervaError {
    const error = (this.#error = new MinervaError(`the stream has ended: ${reason}`));
    for (const { reject } of this.#readies.splice(0)) reject(error);
    this.#qan?.end(error);
    return error;
  }

  #onEnd(end: End): void {
    this.#end = end;
    const error = this.#refuseCalls(end.reason);
    for (const { reject } of this.#sends.values()) reject(error);
    this.#sends.clear();
    for (const inbox of this.#inboxes) inbox.end();
    this.#dispatch('end', end);
  }

  #dispatch<K extends keyof StreamEvents>(type: K, data: StreamEvents[K]): void {
    const event = new MessageEvent(type, { data });
    try {
      (this[`on${type}`] as Handler<K>)?.call(this, event);
    } catch (error) {
      // As with any event handler, an exception is reported and does not stop the stream.
      queueMicrotask(() => {
        throw error;
      });
    }
    this.dispatchEvent(event);
  }
}
