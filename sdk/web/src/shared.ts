/**
 * One stream shared by all tabs of an origin, owned by a SharedWorker; each tab sends through the worker and receives
 * every message. This file is both the script of the tabs and of the worker, where `shared/worker.ts` runs. Where no
 * worker can carry the stream, each tab has a stream of its own.
 */
import { logProblem } from './log.js';
import { Liveness, PING_INTERVAL } from './mux/liveness.js';
import { TabOutbox } from './shared/outbox.js';
import { EVENTS, type TabRequest, type WorkerNotice } from './shared/ports.js';
import { serveSharedStream } from './shared/worker.js';
import type { End, Kind, MinervaError, MinervaOptions, MinervaStream, Problem, State, TransportChange } from './client.js';

/** Largest request of a page that is being unloaded: browsers allow 64 KiB with `keepalive`, less some room. */
const MAX_KEEPALIVE_CHARACTERS = 50_000;
/** Transport number of the last upload of a tab, above those of the worker. */
const LAST_TRANSPORT = 2 ** 40;
/** Reason of the end after the worker died. */
const LOST = 'shared worker lost';

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

type Handler<T> = ((event: MessageEvent<T>) => void) | null;

/**
 * Handle of one tab to the shared stream: the subset of `MinervaStream` that applies to several tabs.
 *
 *     const stream = Minerva.shared('/_minerva/');
 *     stream.onmessage = ({ data }) => show(data);
 */
export class SharedStream extends EventTarget {
  /** As `MinervaStream.state`. */
  state: State = 'connecting';
  /** As `MinervaStream.transport`. */
  transport: Kind | null = null;
  /** As `MinervaStream.problem`. */
  problem: Problem | null = null;
  /** As `MinervaStream.end`. */
  end: End | null = null;
  /** As `MinervaStream.onmessage`; every tab receives every message. */
  onmessage: Handler<string> = null;
  /** As `MinervaStream.ontransport`. */
  ontransport: Handler<TransportChange> = null;
  /** As `MinervaStream.onstate`. */
  onstate: Handler<State> = null;
  /** As `MinervaStream.onproblem`. */
  onproblem: Handler<Problem | null> = null;
  /** As `MinervaStream.onend`. */
  onend: Handler<End> = null;
  #worker: SharedWorker | null;
  /** Stream of this tab alone, if no worker can carry the stream. */
  #own: MinervaStream | null = null;
  #sends = new Map<number, Deferred>();
  #outbox = new TabOutbox();
  #next = -1;
  /** Id of the stream, after the first notice of the worker. */
  #id = '';
  /** The stream exists on the server. */
  #created = false;
  /** Error of sends after a reset of this tab or the end; null before. */
  #error: MinervaError | null = null;
  #reset: string | null = null;
  /** The last event of the stream was dispatched. */
  #isOver = false;
  #leaving = false;
  #liveness = new Liveness(performance.now());
  #timer: ReturnType<typeof setInterval>;

  /** Connects to the worker; `shared` is the usual way. */
  constructor(
    worker: SharedWorker,
    readonly url: URL,
    readonly options: MinervaOptions,
  ) {
    super();
    this.#worker = worker;
    // Failures to load the worker; an ErrorEvent reports an exception in the running worker.
    worker.onerror = (event) => event instanceof ErrorEvent || this.#openOwn();
    worker.port.onmessage = ({ data }: MessageEvent<WorkerNotice>) => this.#onNotice(data);
    this.#timer = setInterval(() => this.#tick(), PING_INTERVAL);
    addEventListener('pagehide', this.#onPageEvent);
    addEventListener('pageshow', this.#onPageEvent);
  }

  /** As `MinervaStream.send`: `await stream.send('hello')`. */
  send(text: string): Promise<void> {
    if (typeof text !== 'string') return Promise.reject(new TypeError('a message is a string: send toJson(value)'));
    if (this.#error) return Promise.reject(this.#error);
    if (this.#own) return this.#own.send(text);
    const isValid = text.length < 1 << 20 && /^[ -~]*$/.test(text);
    // The stream gives no number to an invalid message.
    const of = isValid ? this.#outbox.push(text) : this.#next--;
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(of, { resolve, reject }));
    // Callers that ignore the promise receive the `end` event instead of an unhandled rejection.
    sent.catch(() => {});
    if (this.#id || !isValid) this.#post({ of, text });
    if (this.#leaving) queueMicrotask(() => this.#upload());
    return sent;
  }

  /** As `MinervaStream.reset`, for all tabs: `stream.reset('signed out')`. */
  reset(reason = ''): void {
    // The worker could report the error to no caller.
    if (typeof reason !== 'string' || !/^[ -~]{0,255}$/.test(reason)) {
      throw new Minerva.MinervaError('a reason has at most 255 characters 0x20-0x7E');
    }
    if (this.#own) return this.#own.reset(reason);
    if (this.#error) return;
    this.#error = new Minerva.MinervaError(`the stream has ended: ${reason}`);
    this.#reset = reason;
    if (this.#id) this.#post({ reset: reason });
    if (this.#leaving) queueMicrotask(() => this.#upload());
  }

  #onNotice(notice: WorkerNotice): void {
    this.#liveness.onMessage();
    switch (notice.type) {
      case 'hello':
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
        if (notice.type !== 'message' || !this.#error) this.#onEvent(notice.type, notice.data, notice.state);
    }
  }

  /** Passes on the calls that preceded the first notice of the worker. */
  #onHello(id: string): void {
    this.#id = id;
    for (const [of, text] of this.#outbox.pending()) this.#post({ of, text });
    if (this.#reset !== null) this.#post({ reset: this.#reset });
  }

  #settle(of: number, problem: string | null): void {
    const waiter = this.#sends.get(of);
    this.#sends.delete(of);
    this.#outbox.settle(of);
    if (problem === null) waiter?.resolve();
    else waiter?.reject(new Minerva.MinervaError(problem));
  }

  #onEvent(type: (typeof EVENTS)[number], data: unknown, state: State): void {
    if (this.#isOver) return;
    this.state = state;
    this.#created ||= state === 'open';
    if (type === 'transport') this.transport = (data as TransportChange).kind;
    if (type === 'problem') this.#onProblem(data as Problem | null);
    if (type === 'end') this.#onEnd(data as End);
    // The last event of a stream.
    this.#isOver = data === 'ended' && type === 'state';
    const event = new MessageEvent(type, { data });
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
    if (!this.#own) logProblem(problem, this.url.pathname);
    this.problem = problem;
  }

  /** The end is final: nothing that the worker does later affects this tab. */
  #onEnd(end: End): void {
    this.end = end;
    this.#error = new Minerva.MinervaError(`the stream has ended: ${end.reason}`);
    for (const { reject } of this.#sends.values()) reject(this.#error);
    this.#sends.clear();
    this.#stop();
  }

  /** Opens a stream of this tab, because no worker has answered. */
  #openOwn(): void {
    if (this.#id || !this.#worker) return;
    this.#stop();
    // A slow worker would otherwise keep an own stream open for this tab.
    this.#post('bye');
    this.#worker.port.close();
    this.#worker = null;
    const own = (this.#own = new Minerva.MinervaStream(this.url, this.options));
    for (const type of EVENTS) {
      own.addEventListener(type, ({ data }: MessageEvent) => this.#onEvent(type, data, own.state));
    }
    for (const [of, text] of this.#outbox.pending()) {
      own.send(text).then(
        () => this.#settle(of, null),
        (error: Error) => this.#settle(of, error.message),
      );
    }
    if (this.#reset !== null) own.reset(this.#reset);
  }

  #tick(): void {
    if (this.#liveness.tick(performance.now())) return this.#post('ping');
    if (!this.#id) return this.#openOwn();
    // No tab has the whole state of the stream, so the stream ends; the server learns of the end at once.
    this.#reset ??= LOST;
    this.#upload();
    this.#onEvent('end', { reason: LOST, applicationLevel: false, by: 'client' }, 'ended');
    this.#onEvent('transport', { kind: null, why: 'end' }, 'ended');
    this.#onEvent('state', 'ended', 'ended');
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
    const creates = !this.#created && this.#reset === null && { new: true, cred };
    const hello = { ver: 2, tnum: LAST_TRANSPORT, id: this.#id, ming: false, maxia: 0, seenack: '|-1', why: 'leave', ...creates };
    fetch(new URL('io/', this.url), {
      method: 'POST',
      body: [`${Minerva.toJson(hello)}H`, ...frames, ''].join('\n'),
      headers: { 'content-type': 'application/octet-stream' },
      cache: 'no-store',
      credentials: this.options.credentials ?? 'same-origin',
      keepalive: true,
    }).catch(() => {});
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

declare const Minerva: {
  MinervaStream: typeof MinervaStream;
  MinervaError: typeof MinervaError;
  toJson: (value: unknown) => string;
  check: (url: string | URL, options: MinervaOptions) => URL;
  shared: unknown;
};

const script = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src ?? '';

/**
 * Returns the stream shared by all tabs of this origin that pass the same `url` and `options`. Requires `client.js`.
 * Throws `MinervaError` for invalid options. Without SharedWorker, a stream of this tab alone is returned.
 *
 *     const stream = Minerva.shared('/_minerva/', { heartbeat: 10 });
 */
export function shared(url: string | URL = '/_minerva/', options: MinervaOptions = {}): SharedStream | MinervaStream {
  const base = Minerva.check(url, options);
  const name = JSON.stringify({ url: base, options });
  try {
    return new SharedStream(new SharedWorker(script, { name }), base, options);
  } catch {
    // No shared workers, or a script of another origin.
    return new Minerva.MinervaStream(base, options);
  }
}

if ('onconnect' in globalThis && !globalThis.document) {
  serveSharedStream(globalThis as unknown as { name: string; onconnect: unknown });
} else {
  Minerva.shared = shared;
}
