/**
 * One stream shared by all tabs of an origin, owned by a SharedWorker; each tab sends through the worker and receives
 * every message. This file is both the script of the tabs and of the worker, where `shared_worker.ts` runs. Browsers
 * without SharedWorker open one stream per tab.
 */
import type { TabRequest, WorkerNotice } from './shared_ports.js';
import { serveSharedStream } from './shared_worker.js';
import type { End, Kind, MinervaError, MinervaOptions, MinervaStream, State, TransportChange } from './client.js';

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
  /** As `MinervaStream.end`. */
  end: End | null = null;
  /** As `MinervaStream.onmessage`; every tab receives every message. */
  onmessage: Handler<string> = null;
  /** As `MinervaStream.ontransport`. */
  ontransport: Handler<TransportChange> = null;
  /** As `MinervaStream.onstate`. */
  onstate: Handler<State> = null;
  /** As `MinervaStream.onend`. */
  onend: Handler<End> = null;
  #port: MessagePort;
  #sends = new Map<number, Deferred>();
  #next = 0;
  /** Error of all sends if no worker carries the stream. */
  #failure: MinervaError | null = null;

  /** Connects to the worker; `shared` is the usual way. */
  constructor(worker: SharedWorker) {
    super();
    this.#port = worker.port;
    // Failures to load the worker; an ErrorEvent reports an exception in the running worker.
    worker.onerror = (event) => event instanceof ErrorEvent || this.#fail('the shared worker cannot be loaded');
    this.#port.onmessage = ({ data }: MessageEvent<WorkerNotice>) => this.#recv(data);
    addEventListener('pagehide', ({ persisted }) => persisted || this.#post({ bye: true }));
  }

  /** As `MinervaStream.send`: `await stream.send('hello')`. */
  send(text: string): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = this.#next++;
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(number, { resolve, reject }));
    this.#post({ number, text });
    return sent;
  }

  /** As `MinervaStream.reset`, for all tabs: `stream.reset('signed out')`. */
  reset(reason = ''): void {
    // The worker could report the error to no caller.
    if (!/^[ -~]{0,255}$/.test(reason)) {
      throw new Minerva.MinervaError('a reason has at most 255 characters 0x20-0x7E');
    }
    this.#post({ reset: reason });
  }

  /** Ends the stream of this tab, which no worker carries. */
  #fail(reason: string): void {
    this.#failure = new Minerva.MinervaError(reason);
    for (const { reject } of this.#sends.values()) reject(this.#failure);
    this.#sends.clear();
    this.#recv({ type: 'end', data: { reason, applicationLevel: false, by: 'client' }, state: 'ended' });
    this.#recv({ type: 'state', data: 'ended', state: 'ended' });
  }

  #post(request: TabRequest): void {
    this.#port.postMessage(request);
  }

  #recv(notice: WorkerNotice): void {
    if (notice.type === 'failed') return this.#fail(notice.reason);
    if (notice.type === 'sent') {
      const waiter = this.#sends.get(notice.number);
      this.#sends.delete(notice.number);
      return notice.problem === null ? waiter?.resolve() : waiter?.reject(new Error(notice.problem));
    }
    this.state = notice.state;
    if (notice.type === 'transport') this.transport = (notice.data as TransportChange).kind;
    if (notice.type === 'end') this.end = notice.data as End;
    const event = new MessageEvent(notice.type, { data: notice.data });
    (this[`on${notice.type}`] as Handler<unknown>)?.call(this, event);
    this.dispatchEvent(event);
  }
}

declare const Minerva: { MinervaStream: typeof MinervaStream; MinervaError: typeof MinervaError; shared: unknown };

const script = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src ?? '';

/**
 * Returns the stream shared by all tabs of this origin that pass the same `url` and `options`. Requires `client.js`.
 * Without SharedWorker, a stream of this tab alone is returned.
 *
 *     const stream = Minerva.shared('/_minerva/', { heartbeat: 10 });
 */
export function shared(url: string | URL = '/_minerva/', options: MinervaOptions = {}): SharedStream | MinervaStream {
  if (typeof SharedWorker === 'undefined') return new Minerva.MinervaStream(url, options);
  const name = JSON.stringify({ url: new URL(url, location.href), options });
  return new SharedStream(new SharedWorker(script, { name }));
}

if ('onconnect' in globalThis && !globalThis.document) serveSharedStream(globalThis as unknown as { name: string; onconnect: unknown });
else Minerva.shared = shared;
