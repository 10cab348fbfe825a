/**
 * One stream for all tabs of an origin: a SharedWorker holds it, the tabs send through it and all of them
 * receive what comes. The same file is the tabs' script and the worker's. Where there is no
 * SharedWorker each tab has a stream of its own.
 */
import type { End, Kind, MinervaOptions, MinervaStream, State, TransportChange } from './client.js';

/** What a tab tells the worker. */
type Order = { readonly number: number; readonly text: string } | { readonly reset: string } | { readonly bye: true };

/** What the worker tells tabs: an event of the stream, or what became of a `send`. */
type News =
  | { readonly type: 'message' | 'state' | 'transport' | 'end'; readonly data: unknown; readonly state: State }
  | { readonly type: 'sent'; readonly number: number; readonly problem: string | null };

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

type Handler<T> = ((event: MessageEvent<T>) => void) | null;

/** A tab's end of the shared stream: the part of `MinervaStream` that makes sense for several. */
export class SharedStream extends EventTarget {
  state: State = 'connecting';
  /** The kind of transport that carries the stream now; null: none. */
  transport: Kind | null = null;
  end: End | null = null;
  onmessage: Handler<string> = null;
  ontransport: Handler<TransportChange> = null;
  onstate: Handler<State> = null;
  onend: Handler<End> = null;
  #port: MessagePort;
  #sends = new Map<number, Deferred>();
  #next = 0;

  constructor(worker: SharedWorker) {
    super();
    this.#port = worker.port;
    this.#port.onmessage = ({ data }: MessageEvent<News>) => this.#recv(data);
    addEventListener('pagehide', ({ persisted }) => persisted || this.#tell({ bye: true }));
  }

  /** As `MinervaStream.send`. */
  send(text: string): Promise<void> {
    const number = this.#next++;
    const sent = new Promise<void>((resolve, reject) => this.#sends.set(number, { resolve, reject }));
    this.#tell({ number, text });
    return sent;
  }

  /** Gives the stream up, for all tabs. */
  reset(reason = ''): void {
    this.#tell({ reset: reason });
  }

  #tell(order: Order): void {
    this.#port.postMessage(order);
  }

  #recv(news: News): void {
    if (news.type === 'sent') {
      const waiter = this.#sends.get(news.number);
      this.#sends.delete(news.number);
      return news.problem === null ? waiter?.resolve() : waiter?.reject(new Error(news.problem));
    }
    this.state = news.state;
    if (news.type === 'transport') this.transport = (news.data as TransportChange).kind;
    if (news.type === 'end') this.end = news.data as End;
    const event = new MessageEvent(news.type, { data: news.data });
    (this[`on${news.type}`] as Handler<unknown>)?.call(this, event);
    this.dispatchEvent(event);
  }
}

/** The worker: holds the stream, and knows the tabs. */
function serve(scope: { name: string; onconnect: unknown }): void {
  const { url, options } = JSON.parse(scope.name) as { url: string; options: MinervaOptions };
  const tabs = new Set<MessagePort>();
  let stream: MinervaStream | null = null;
  const open = (): MinervaStream => {
    const fresh = new Minerva.MinervaStream(url, options);
    for (const type of ['message', 'state', 'transport', 'end'] as const) {
      fresh.addEventListener(type, ({ data }: MessageEvent) => {
        for (const tab of tabs) tab.postMessage({ type, data, state: fresh.state });
      });
    }
    return fresh;
  };
  scope.onconnect = ({ ports: [tab] }: MessageEvent) => {
    if (!tab) return;
    if (!stream || stream.end) stream = open();
    tabs.add(tab);
    const { state, transport } = stream;
    tab.postMessage({ type: 'transport', data: { kind: transport, why: 'shared' }, state });
    tab.postMessage({ type: 'state', data: state, state });
    tab.onmessage = ({ data }: MessageEvent<Order>) => obey(stream as MinervaStream, tab, data, tabs);
  };
}

function obey(stream: MinervaStream, tab: MessagePort, order: Order, tabs: Set<MessagePort>): void {
  if ('bye' in order) tabs.delete(tab);
  else if ('reset' in order) stream.reset(order.reset);
  else {
    const { number } = order;
    const done = (problem: string | null): void => tab.postMessage({ type: 'sent', number, problem });
    stream.send(order.text).then(
      () => done(null),
      (error: Error) => done(error.message),
    );
  }
}

declare const Minerva: { MinervaStream: typeof MinervaStream; shared: unknown };
declare function importScripts(url: string): void;

const script = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src ?? '';

/** The stream that all tabs of this origin share, by `url` and `options`. `client.js` must be loaded, too. */
export function shared(url: string | URL = '/_minerva/', options: MinervaOptions = {}): SharedStream | MinervaStream {
  if (typeof SharedWorker === 'undefined') return new Minerva.MinervaStream(url, options);
  const name = JSON.stringify({ url: new URL(url, location.href), options });
  return new SharedStream(new SharedWorker(script, { name }));
}

if ('onconnect' in globalThis && !globalThis.document) {
  importScripts(new URL('client.js', location.href).href);
  serve(globalThis as unknown as { name: string; onconnect: unknown });
} else {
  Minerva.shared = shared;
}
