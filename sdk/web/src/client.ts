/**
 * Public API of the client: maps the outputs of the driver to events, promises, an async iteration and WHATWG streams.
 * Pages import this module; `script.ts` exports the same API to classic scripts.
 */
import { Driver, now, type AppOutput } from './driver.js';
import { Endpoints } from './endpoints.js';
import { MinervaError, QanError, wrongType } from './errors.js';
import type { Listener, StreamEvents, StreamListeners } from './events.js';
import { isMessageAllowed, MAX_REASON } from './frames.js';
import { newResumeKey, newStreamId } from './ids.js';
import { toJson } from './hello.js';
import { Inbox } from './inbox.js';
import { logProblem } from './log.js';
import { byteLength, checkMessage, type Message } from './message.js';
import { checkOptions, resolveAll, resolveService, type MinervaOptions, type ServiceUrl } from './options.js';
import { Qan } from './lazy_qan.js';
import type { QanHandler } from './qan.js';
import type { Held, SessionHooks, SessionHost } from './session/host.js';
import type { DurableStream } from './stream_api.js';
import type { SessionStart } from './stream/session_start.js';
import type { Counters, End, Kind, Problem, State } from './stream/types.js';

export { MinervaError, Qan, QanError, toJson };
export type { Counters, End, Kind, Message, MinervaOptions, Problem, QanHandler, State, StreamEvents };
export type { ServiceUrl } from './options.js';
export type { DurableStream } from './stream_api.js';
export type { TransportChange } from './events.js';
export type { Rejoin, Unsent } from './session/host.js';

/** Unacknowledged bytes above which `MinervaStream.ready` is pending. */
export const HIGH_WATER = 256 * 1024;
/** Upper bound of unacknowledged bytes; `MinervaStream.send` rejects messages beyond this bound. */
export const MAX_BUFFERED = 16 << 20;

/** Message to send: text or binary. */
export type Sendable = string | ArrayBuffer | ArrayBufferView;

type Handler<K extends keyof StreamEvents> = Listener<K> | null;

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: MinervaError) => void;
}

/** Typed listeners; see `StreamEvents`. */
export interface MinervaStream {
  addEventListener: StreamListeners['addEventListener'];
  removeEventListener: StreamListeners['removeEventListener'];
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
export class MinervaStream extends EventTarget implements DurableStream {
  /** Id of the stream. The id is a secret: its holder can read and write the stream. */
  id = newStreamId();
  /** Handler of `message` events: `stream.onmessage = ({ data }) => show(data)`. */
  onmessage: Handler<'message'> = null;
  /** Handler of `transport` events; see `TransportChange`. */
  ontransport: Handler<'transport'> = null;
  /** Handler of `state` events; see `State`. */
  onstate: Handler<'state'> = null;
  /** Handler of `problem` events; see `Problem`. */
  onproblem: Handler<'problem'> = null;
  /** Handler of the `end` event; see `End`. */
  onend: Handler<'end'> = null;
  /** Handler of `rejoin` events of a session; see `Rejoin`. */
  onrejoin: Handler<'rejoin'> = null;
  /** Handler of `upload` events: `stream.onupload = () => stream.send(position())` adds a message to the request. */
  onupload: Handler<'upload'> = null;
  #driver!: Driver;
  /** Messages that wait for the session, and its module once loaded; null without a session. */
  #held: Held[] | null = null;
  #session: SessionHooks | null = null;
  /** Calls that wait for the stream of the session, and for its held messages. */
  #onOpen: (() => void)[] = [];
  #onRelease: (() => void)[] = [];
  #isOpen = true;
  /** URL of the service, for log lines. */
  #service: string;
  /** Promises of unacknowledged messages, by message number. */
  #sends = new Map<number, Deferred>();
  #readies: Deferred[] = [];
  #inboxes = new Set<Inbox>();
  #end: End | null = null;
  /** Error of calls after `reset` or the end; null before. */
  #error: MinervaError | null = null;
  #qan: Qan | null = null;
  #readable: ReadableStream<Message> | null = null;
  #writable: WritableStream<Sendable> | null = null;

  /**
   * Opens a stream to the service at `url`: `/_minerva/` for the default service, `/_minerva/NAME/` for another. Several
   * URLs, of servers with the same cores, are tried in turn.
   * Throws `MinervaError` for invalid options. Events start in a later turn, so set the handlers right away. With a
   * relative URL outside of a page, as during server-side rendering, the stream stays `connecting` and opens nothing.
   */
  constructor(url: ServiceUrl = '/_minerva/', options: MinervaOptions = {}) {
    super();
    checkOptions(options);
    const { transport = 'auto', version = 'auto', longUrl, credentials, session, scope, busy, rewind, ...rest } = options;
    const long = longUrl === undefined ? null : resolveService(longUrl);
    const endpoints = new Endpoints(resolveAll(url), credentials, long);
    this.#service = String(endpoints.bases);
    const beforeUpload = (): void => this.#dispatch('upload', null);
    const open = (id: string, resumeKey: string, start?: SessionStart): Driver => {
      const parts = { ...rest, id, resumeKey, session: start, version: session ? 3 : version };
      const driver: Driver = new Driver(
        endpoints,
        { ...parts, kind: transport, random: Math.random, beforeUpload },
        // A stream that is over may be followed by another one of the session.
        (output) => driver === this.#driver && this.#onOutput(output),
        () => this.#onIdle(),
      );
      this.id = id;
      return (this.#driver = driver);
    };
    const driver = open(this.id, VERSION_3 ? newResumeKey() : '');
    if (VERSION_3 && session !== undefined) {
      this.#isOpen = false;
      const host: SessionHost = {
        waiting: (this.#held = []),
        attach: (hooks) => (this.#session = hooks),
        open: (...stream) => {
          const opened = open(...stream);
          if (!stream[2]) this.#release();
          opened.start();
          this.#isOpen = true;
          for (const call of this.#onOpen.splice(0)) call();
        },
        release: () => this.#release(),
        rejoin: (data) => this.#dispatch('rejoin', data),
        giveUp: (reason) => this.#onEnd({ reason, applicationLevel: false, by: 'client' }),
      };
      const settings = { session, scope, busy, rewind, url: String(endpoints.bases[0]) };
      import('./session.js')
        .then(({ openSession }) => openSession(settings, host))
        .catch((error: unknown) => {
          host.giveUp('session.mjs failed');
          throw error;
        });
    }
    // Deferred, so that the caller can set handlers first.
    else queueMicrotask(() => driver.start());
  }

  /**
   * Ends the stream of a session on the server and deletes the stored state, as at logout. Fulfilled at the end; also if nothing
   * is stored.
   *
   *     await MinervaStream.forget(`board-7/${user}`);
   */
  static async forget(session: string, scope: 'tab' | 'origin' = 'tab'): Promise<void> {
    if (VERSION_3) await (await import('./session.js')).forget(MinervaStream, session, scope);
  }

  /**
   * Queues a message: text, or binary as `ArrayBuffer` or a view, which is copied; at most 1,048,575 bytes. The promise is
   * fulfilled when the message is durable on the server. It is rejected with a `TypeError` of code `type` for a value of
   * another type, and with `MinervaError` if the message is invalid, the send buffer (16 MiB) is full, or the stream ends
   * first. Nothing is thrown. On a server without version 3, text has
   * the characters 0x20-0x7E, as `toJson` encodes any value, and binary messages are rejected.
   *
   *     await stream.send('grüße');
   *     await stream.send(new Uint8Array([1, 2, 3]));
   */
  send(message: Sendable): Promise<void> {
    try {
      return this.#send(message);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Throws `TypeError` or `MinervaError` for an invalid message. */
  #send(value: Sendable): Promise<void> {
    if (this.#error) throw this.#error;
    const { machine } = this.#driver;
    const message = checkMessage(value, machine.version, machine.maxMessage);
    if (this.bufferedAmount + byteLength(message) > MAX_BUFFERED) throw new MinervaError('send buffer full: await ready');
    const sent = new Promise<void>((resolve, reject) => {
      const send = { message, resolve, reject };
      if (VERSION_3 && this.#held) {
        this.#held.push(send);
        this.#session?.storeHeld(message);
      } else this.#number(send);
    });
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    sent.catch(() => {});
    this.#driver.schedule();
    return sent;
  }

  #number(send: Held): void {
    const number = this.#driver.machine.send(send.message);
    this.#sends.set(number, send);
    if (VERSION_3) this.#session?.storeSent(number, send.message);
  }

  /** Numbers the messages that have waited for the session. */
  #release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const send of held) this.#number(send);
    for (const call of this.#onRelease.splice(0)) call();
    this.#driver.schedule();
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

  /** True if messages and position of the session are stored; false without a session or without usable storage. */
  get stored(): boolean {
    return VERSION_3 && !!this.#session?.stored;
  }

  /** Version of the protocol, 2 or 3; 0 before it is known. Only version 3 carries binary messages. */
  get version(): number {
    return this.#driver.machine.version;
  }

  /** Reason for which the stream is not open; null without a known one. `onproblem` reports changes. */
  get problem(): Problem | null {
    return this.#driver.machine.problem;
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
      (message) => this.send(message),
      (reason) => this.reset(reason),
    ));
  }

  /**
   * Received messages as a WHATWG stream; each access returns the same stream. Unread messages pause the server.
   *
   *     await stream.readable.pipeTo(sink);
   */
  get readable(): ReadableStream<Message> {
    const make = (): ReadableStream<Message> => {
      const messages = this[Symbol.asyncIterator]();
      const pull = async (controller: ReadableStreamDefaultController<Message>): Promise<void> => {
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
  get writable(): WritableStream<Sendable> {
    let last: Promise<void> | undefined;
    const write = async (message: Sendable): Promise<void> => {
      await this.ready;
      last = this.#send(message);
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
   * Ends the stream on both sides. `reason` is at most 255 characters 0x20-0x7E, else `MinervaError`, or for another type `TypeError`, is thrown.
   *
   *     stream.reset('signed out');
   *
   * The call returns at once; from now on `send` is rejected and no message arrives. The reset is repeated until the
   * server confirms the end, for at most 120 s, and once more at page unload. Then the `end` event follows, with the
   * reason that the application received: an earlier one if the stream had ended already. Without a confirmation the
   * reason is `reset not confirmed`.
   */
  reset(reason = ''): void {
    checkReason(reason);
    if (!this.#error) this.#refuseCalls(reason);
    const call = (): void => {
      this.#driver.machine.reset(reason, now());
      this.#driver.schedule();
    };
    if (!VERSION_3 || this.#isOpen) call();
    else this.#onOpen.push(call);
  }

  /**
   * Ends the stream on both sides once all queued messages are durable on the server; from now on `send` is rejected.
   * Messages of the server arrive until the end. The promise is fulfilled with the end. It is rejected if the server
   * ended the stream first, if the end is not confirmed, or if the reason is invalid as in `reset`.
   *
   *     await stream.close('done');
   */
  close(reason = ''): Promise<void> {
    const closed = this.#close(reason);
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    closed.catch(() => {});
    return closed;
  }

  async #close(reason: string): Promise<void> {
    checkReason(reason);
    if (this.#end) return this.#closed(this.#end);
    if (!this.#error) this.#refuseCalls(reason);
    const call = (): void => {
      this.#driver.machine.close(reason, now());
      this.#driver.schedule();
    };
    if (VERSION_3 && this.#held) this.#onRelease.push(call);
    else call();
    return new Promise((resolve) => this.addEventListener('end', ({ data }) => resolve(this.#closed(data))));
  }

  #closed(end: End): Promise<void> {
    const isOwn = end.by === 'client' && end.applicationLevel;
    return isOwn ? Promise.resolve() : Promise.reject(this.#error);
  }

  /**
   * Iterates over the messages that arrive from now on. A slow loop pauses the server.
   *
   *     for await (const message of stream) await store(message);
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
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

  #onIdle(): void {
    if (this.bufferedAmount <= HIGH_WATER) for (const { resolve } of this.#readies.splice(0)) resolve();
  }

  #onOutput(output: AppOutput): void {
    switch (output.do) {
      case 'deliver':
        if (VERSION_3) this.#session?.moveTo(output.number + 1);
        if (this.#qan) return this.#qan.recv(output.message);
        for (const inbox of this.#inboxes) inbox.push(output.message);
        this.#applyBackPressure();
        return this.#dispatch('message', output.message, `${output.number}`);
      case 'acked':
        this.#sends.get(output.number)?.resolve();
        this.#sends.delete(output.number);
        return VERSION_3 ? this.#session?.freeSent(output.number) : undefined;
      case 'welcome':
        return VERSION_3 ? this.#session?.begin(output.born, output.from, output.own) : undefined;
      case 'transport':
        return this.#dispatch('transport', { kind: output.kind, why: output.why });
      case 'state':
        return this.#dispatch('state', output.state);
      case 'problem':
        logProblem(output.problem, this.#service);
        return this.#dispatch('problem', output.problem);
      case 'end':
        if (!VERSION_3 || !this.#session?.end(output.end.reason)) this.#onEnd(output.end);
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
    if (VERSION_3) for (const { reject } of this.#held ?? []) reject(error);
    for (const inbox of this.#inboxes) inbox.end();
    this.#dispatch('end', end);
  }

  #dispatch<K extends keyof StreamEvents>(type: K, data: StreamEvents[K], lastEventId = ''): void {
    const event = new MessageEvent(type, { data, lastEventId });
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

/** Throws unless the stream can end with this reason. */
function checkReason(reason: string): void {
  const isText = typeof reason === 'string';
  if (isText && reason.length <= MAX_REASON && isMessageAllowed(reason)) return;
  const rule = 'a reason has at most 255 characters 0x20-0x7E';
  throw isText ? new MinervaError(rule) : wrongType(rule);
}
