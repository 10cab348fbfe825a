/**
 * Handle of one tab to a stream that a SharedWorker owns (`worker.ts`): sends through the worker and receives every message.
 * Where no worker can carry the stream, the tab has a stream of its own. Used by `shared.ts`.
 */
import { wrongType } from '../errors.js';
import type { StreamListeners } from '../events.js';
import { Liveness, PING_INTERVAL } from '../mux/liveness.js';
import { checkReason, uploadFrames } from './client_script.js';
import { TabOutbox } from './outbox.js';
import { EVENTS, type TabRequest, type WorkerNotice } from './ports.js';
import { fromStream, toStream } from './questions.js';
import type * as Client from '../client.js';
import type { Counters, DurableStream, End, Kind, MinervaOptions, MinervaStream, Problem, Qan, Rejoin, State, TransportChange } from '../client.js';

/** Largest request of a page that is being unloaded: browsers allow 64 KiB with `keepalive`, less some room. */
const MAX_KEEPALIVE_CHARACTERS = 50_000;
/** Unacknowledged bytes above which `ready` is pending, as of a plain stream. */
const HIGH_WATER = 256 * 1024;
/** Reason of the end after the worker died. */
const LOST = 'shared worker lost';

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

type Handler<T> = ((event: MessageEvent<T>) => void) | null;

/** Typed listeners; see `StreamEvents`. */
export interface SharedStream {
  addEventListener: StreamListeners['addEventListener'];
  removeEventListener: StreamListeners['removeEventListener'];
}

/**
 * Handle of one tab to the shared stream, with the interface of a plain stream.
 *
 *     const stream = Minerva.shared('/_minerva/');
 *     stream.onmessage = ({ data }) => show(data);
 */
export class SharedStream extends EventTarget implements DurableStream {
  /** As `MinervaStream.state`. */
  state: State = 'connecting';
  /** As `MinervaStream.transport`. */
  transport: Kind | null = null;
  /** As `MinervaStream.problem`. */
  problem: Problem | null = null;
  /** As `MinervaStream.end`. */
  end: End | null = null;
  /** As `MinervaStream.counters`; messages that this tab has sent and received. */
  readonly counters: Counters = { sent: 0, acknowledged: 0, received: 0, reconnects: 0 };
  /** As `MinervaStream.onmessage`; every tab receives every message. */
  onmessage: Handler<Client.Message> = null;
  /** As `MinervaStream.ontransport`. */
  ontransport: Handler<TransportChange> = null;
  /** As `MinervaStream.onstate`. */
  onstate: Handler<State> = null;
  /** As `MinervaStream.onproblem`. */
  onproblem: Handler<Problem | null> = null;
  /** As `MinervaStream.onend`. */
  onend: Handler<End> = null;
  /**
   * With this handler, a stream whose worker dies is followed by another one, in a new worker for all tabs: `fresh` is true, and
   * `unsent` has the rejected messages. Without it the stream ends.
   */
  onrejoin: Handler<Rejoin> = null;
  #worker: SharedWorker | null = null;
  /** Stream of this tab alone, if no worker can carry the stream. */
  #own: MinervaStream | null = null;
  #sends = new Map<number, Deferred & { readonly bytes: number }>();
  #readies: Deferred[] = [];
  #buffered = 0;
  #outbox = new TabOutbox();
  #next = -1;
  /** Id of the stream, after the first notice of the worker. */
  #id = '';
  #seat = 0;
  #qan: Qan | null = null;
  /** The stream exists on the server. */
  #created = false;
  /** Error of sends after `reset`, `close` or the end; null before. */
  #error: MinervaError | null = null;
  #reset: string | null = null;
  #closing: string | null = null;
  /** The last event of the stream was dispatched. */
  #isOver = false;
  #leaving = false;
  #liveness!: Liveness;
  #timer: ReturnType<typeof setInterval>;

  /** Connects to the worker, which `start` starts or finds; `shared` is the usual way. Throws as `start`. */
  constructor(
    readonly start: () => SharedWorker,
    readonly url: URL,
    readonly options: MinervaOptions,
  ) {
    super();
    this.#connect();
    this.#timer = setInterval(() => this.#tick(), PING_INTERVAL);
    addEventListener('pagehide', this.#onPageEvent);
    addEventListener('pageshow', this.#onPageEvent);
  }

  #connect(): void {
    const worker = this.start();
    // Failures to load the worker; an ErrorEvent reports an exception in the running worker.
    worker.onerror = (event) => event instanceof ErrorEvent || this.#openOwn();
    worker.port.onmessage = ({ data }: MessageEvent<WorkerNotice>) => this.#onNotice(data);
    this.#liveness = new Liveness(performance.now());
    this.#worker = worker;
  }

  /** As `MinervaStream.id`; empty before the worker has answered. */
  get id(): string {
    return this.#own?.id ?? this.#id;
  }

  /** As `MinervaStream.send`: `await stream.send('hello')`. */
  send(text: string): Promise<void> {
    if (typeof text !== 'string') return Promise.reject(wrongType('a message is a string: send toJson(value)'));
    if (this.#error) return Promise.reject(this.#error);
    if (this.#own) return this.#own.send(text);
    const isValid = text.length < 1 << 20 && /^[ -~]*$/.test(text);
    // The stream gives no number to an invalid message.
    const of = isValid ? this.#outbox.push(text) : this.#next--;
    const bytes = isValid ? text.length : 0;
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(of, { resolve, reject, bytes }));
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    sent.catch(() => {});
    this.#buffered += bytes;
    if (isValid) this.counters.sent += 1;
    if (this.#id || !isValid) this.#post({ of, text });
    if (this.#leaving) queueMicrotask(() => this.#upload());
    return sent;
  }

  /** As `MinervaStream.bufferedAmount`, for the messages of this tab. */
  get bufferedAmount(): number {
    return this.#buffered;
  }

  /** As `MinervaStream.ready`, for the messages of this tab. */
  get ready(): Promise<void> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.#own) return this.#own.ready;
    if (this.#buffered <= HIGH_WATER) return Promise.resolve();
    return new Promise((resolve, reject) => this.#readies.push({ resolve, reject }));
  }

  /** As `MinervaStream.qan`. The tabs use `qan` all or none; one tab, the one that has been open longest, answers questions. */
  get qan(): Qan {
    return (this.#qan ??= new Minerva.Qan(
      (message) => this.send(typeof message === 'string' ? toStream(message, this.#seat) : (message as never)),
      (reason) => this.reset(reason),
    ));
  }

  /** As `MinervaStream.reset`, for all tabs: `stream.reset('signed out')`. */
  reset(reason = ''): void {
    // The worker could report the error to no caller.
    checkReason(reason);
    if (this.end || this.#reset !== null) return;
    this.#reset = reason;
    this.#refuseCalls(reason);
    if (this.#own) return this.#own.reset(reason);
    if (this.#id) this.#post({ reset: reason });
    if (this.#leaving) queueMicrotask(() => this.#upload());
  }

  /** As `MinervaStream.close`, for all tabs: behind the messages that any tab has sent before. */
  close(reason = ''): Promise<void> {
    const closed = this.#close(reason);
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    closed.catch(() => {});
    return closed;
  }

  async #close(reason: string): Promise<void> {
    checkReason(reason);
    if (!this.#error) {
      this.#closing = reason;
      this.#refuseCalls(reason);
      if (this.#own) void this.#own.close(reason);
      else if (this.#id) this.#post({ close: reason });
    }
    const end = this.end ?? (await new Promise<End>((resolve) => this.addEventListener('end', (event) => resolve((event as MessageEvent<End>).data))));
    if (end.by !== 'client' || !end.applicationLevel) throw this.#error;
  }

  /** Rejects all calls from now on, and the pending ones that need an open stream. */
  #refuseCalls(reason: string): MinervaError {
    const error = (this.#error = new Minerva.MinervaError(`the stream has ended: ${reason}`));
    for (const { reject } of this.#readies.splice(0)) reject(error);
    this.#qan?.end(error);
    return error;
  }

  #onNotice(notice: WorkerNotice): void {
    this.#liveness.onMessage();
    switch (notice.type) {
      case 'hello':
        this.#seat = notice.seat;
        return this.#onHello(notice.id);
      case 'failed':
        return this.#openOwn();
      case 'alone':
        this.#outbox.onAlone(notice.at);
        return notice.at === null ? this.#post('shared') : undefined;
      case 'queued':
        return this.#outbox.onQueued(notice.of, notice.at);
      case 'sent':
        return this.#settle(notice.of, notice.problem);
      case 'pong':
        return;
      default:
        // Nothing arrives behind a reset of this tab, except the end.
        if (notice.type !== 'message' || this.#reset === null) this.#onEvent(notice);
    }
  }

  /** Passes on the calls that preceded the first notice of the worker. */
  #onHello(id: string): void {
    this.#id = id;
    for (const [of, text] of this.#outbox.pending()) this.#post({ of, text });
    if (this.#reset !== null) this.#post({ reset: this.#reset });
    else if (this.#closing !== null) this.#post({ close: this.#closing });
  }

  #settle(of: number, problem: string | null): void {
    const waiter = this.#sends.get(of);
    if (!waiter) return;
    this.#sends.delete(of);
    this.#outbox.settle(of);
    this.#buffered -= waiter.bytes;
    if (problem === null) {
      this.counters.acknowledged += 1;
      waiter.resolve();
    } else waiter.reject(new Minerva.MinervaError(problem));
    this.#onRoom();
  }

  #onRoom(): void {
    if (this.#buffered <= HIGH_WATER) for (const { resolve } of this.#readies.splice(0)) resolve();
  }

  #onEvent({ type, data, state, lastEventId = '', answers = true }: WorkerNotice & { readonly type: (typeof EVENTS)[number] }): void {
    if (this.#isOver) return;
    if (state === 'open' && this.state === 'reconnecting') this.counters.reconnects += 1;
    this.state = state;
    this.#created ||= state === 'open';
    if (type === 'transport') this.transport = (data as TransportChange).kind;
    if (type === 'problem') this.#onProblem(data as Problem | null);
    if (type === 'end') this.#onEnd(data as End);
    if (type === 'message') {
      this.counters.received += 1;
      if (this.#qan) {
        const own = fromStream(data as string, this.#seat, answers);
        return own === null ? undefined : this.#qan.recv(own);
      }
    }
    // The last event of a stream.
    this.#isOver = data === 'ended' && type === 'state';
    this.#dispatch(type, data, lastEventId);
  }

  #dispatch(type: (typeof EVENTS)[number] | 'rejoin', data: unknown, lastEventId = ''): void {
    const event = new MessageEvent(type, { data, lastEventId });
    try {
      (this[`on${type}`] as Handler<unknown>)?.call(this, event);
    } catch (error) {
      // As with any event handler, an exception is reported and does not stop the stream.
      reportError(error);
    }
    this.dispatchEvent(event);
  }

  /** The console of the worker is hidden, so each tab has one line per cause. A stream of this tab logs its own. */
  #onProblem(problem: Problem | null): void {
    if (!this.#own) Minerva.logProblem(problem, this.url.pathname);
    this.problem = problem;
  }

  /** The end is final: nothing that the worker does later affects this tab. */
  #onEnd(end: End): void {
    this.end = end;
    this.#rejectSends(this.#refuseCalls(end.reason));
    this.#stop();
  }

  #rejectSends(error: MinervaError): void {
    for (const { reject } of this.#sends.values()) reject(error);
    this.#sends.clear();
    this.#buffered = 0;
  }

  /** Opens a stream of this tab, because no worker has answered. */
  #openOwn(): void {
    if (this.#id || this.#own) return;
    this.#stop();
    // A slow worker would otherwise keep an own stream open for this tab.
    this.#leaveWorker();
    const own = (this.#own = new Minerva.MinervaStream(this.url, this.options));
    for (const type of EVENTS) {
      own.addEventListener(type, ({ data, lastEventId }: MessageEvent) => this.#onEvent({ type, data, lastEventId, state: own.state }));
    }
    for (const [of, text] of this.#outbox.pending()) {
      own.send(text).then(
        () => this.#settle(of, null),
        (error: Error) => this.#settle(of, error.message),
      );
    }
    if (this.#reset !== null) own.reset(this.#reset);
    else if (this.#closing !== null) void own.close(this.#closing);
  }

  #tick(): void {
    if (this.#liveness.tick(performance.now())) return this.#post('ping');
    if (!this.#id) return this.#openOwn();
    // No tab has the whole state of the stream, so the stream ends; the server learns of the end at once.
    this.#reset ??= LOST;
    this.#upload();
    if (!this.#error && this.onrejoin && !this.#qan) return this.#rejoin();
    this.#onEvent({ type: 'end', data: { reason: LOST, applicationLevel: false, by: 'client' }, state: 'ended' });
    this.#onLost('end', 'ended');
  }

  #onLost(why: string, state: State): void {
    this.#onEvent({ type: 'transport', data: { kind: null, why }, state });
    this.#onEvent({ type: 'state', data: state, state });
  }

  /** Continues with another stream: the first tab that does so starts the worker, and the others find it. */
  #rejoin(): void {
    const unsent = this.#outbox.pending().map(([, message]) => ({ message, maybeDelivered: true }));
    this.#leaveWorker();
    this.#outbox = new TabOutbox();
    this.#id = '';
    this.#created = false;
    this.#reset = null;
    this.#rejectSends(new Minerva.MinervaError(LOST));
    this.#onRoom();
    this.#onLost('lost', 'reconnecting');
    try {
      this.#connect();
    } catch {
      this.#openOwn();
    }
    this.#dispatch('rejoin', { generation: 0, from: 0, complete: false, fresh: true, unsent } satisfies Rejoin);
  }

  /** Nothing that the worker sends later affects this tab. */
  #leaveWorker(): void {
    if (!this.#worker) return;
    this.#post('bye');
    this.#worker.port.onmessage = this.#worker.onerror = null;
    this.#worker.port.close();
    this.#worker = null;
  }

  #onPageEvent = ({ type, persisted }: PageTransitionEvent): void => {
    this.#leaving = type === 'pagehide';
    if (!this.#leaving) return;
    this.#upload();
    if (!persisted) this.#post('bye');
  };

  /**
   * Uploads the unacknowledged messages and the reset of this tab in a request that outlives the page, because browsers
   * end the worker with its last tab. The server drops messages that the worker has uploaded, too.
   */
  #upload(): void {
    if (!this.#id || this.end) return;
    const { cred } = this.options;
    const frames = this.#outbox.finalFrames(MAX_KEEPALIVE_CHARACTERS - (cred?.length ?? 0));
    if (this.#reset !== null) frames.push(`${this.#reset}|1!`);
    if (frames.length === 0) return;
    const creates = !this.#created && this.#reset === null ? { new: true, cred } : {};
    uploadFrames(this.url, this.options, this.#id, creates, frames);
  }

  #stop(): void {
    clearInterval(this.#timer);
    removeEventListener('pagehide', this.#onPageEvent);
    removeEventListener('pageshow', this.#onPageEvent);
  }

  #post(request: TabRequest): void {
    this.#worker?.port.postMessage(request);
  }
}

type MinervaError = Client.MinervaError;
