/**
 * HTTP transports over the shared worker of the origin: all tabs share few connections, because browsers open six per
 * host with HTTP/1.1. Where no worker can carry them, or it dies, transports have connections of their own. Used by the
 * driver.
 */
import { joinLines } from '../framing.js';
import { Liveness, PING_INTERVAL } from '../mux/liveness.js';
import { MUX_NAME, type TabMessage, type WorkerMessage } from '../mux/ports.js';
import type { ChannelKind } from '../mux/schedule.js';
import { local } from '../stream/refusal.js';
import { openHttp, outcomeOf } from './http.js';
import type { Listener, TransportHandle } from './transport.js';

/** Longest time in ms for which a transport waits for the start of the worker. */
const START_WAIT = 300;
/** Time in ms for which no further worker is started after one that did not answer. */
const RETRY_TIME = 60_000;
/** Shortest time in ms between two refused requests that are repeated without the worker, to read the reason. */
const READ_INTERVAL = 10_000;
/** Longest request in characters for the worker; longer ones have a connection of their own. */
const MAX_BODY = 150_000;

interface Channel {
  readonly url: string;
  readonly kind: ChannelKind;
  readonly frames: readonly string[];
  /** Lines of the frames. */
  readonly body: string;
  readonly listener: Listener;
  readonly credentials: RequestCredentials;
  /** Connection of its own. */
  direct: TransportHandle | null;
}

let link: WorkerLink | null = null;
/** No worker is used before this time. */
let notBefore = 0;
/** Time of the last repetition of a refused request. */
let readAt = -READ_INTERVAL;

/** Opens an HTTP transport, over the worker if possible. */
export function openMultiplexed(
  url: string,
  frames: readonly string[],
  listener: Listener,
  kind: ChannelKind,
  credentials: RequestCredentials,
): TransportHandle {
  const body = joinLines(frames);
  const channel: Channel = { url, kind, frames, body, listener, credentials, direct: null };
  if (body.length <= MAX_BODY && isUsable(url)) {
    link ??= WorkerLink.start(url);
    if (link) return link.open(channel);
  }
  return openDirectly(channel);
}

function openDirectly({ url, kind, frames, listener, credentials }: Channel): TransportHandle {
  return openHttp(url, frames, listener, kind !== 'http-stream', credentials);
}

/** True for a server of the page's origin over HTTP/1.1, in pages of browsers with shared workers. */
function isUsable(url: string): boolean {
  const { location, SharedWorker } = globalThis;
  if (!SharedWorker || performance.now() < notBefore) return false;
  if (new URL(url).origin !== location.origin) return false;
  const [page] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  // Without an entry, `test` reads "undefined".
  return !/^h[23]/.test(page?.nextHopProtocol as string);
}

/** Reports the end of a channel. The worker passes no texts, so a refused request is repeated to read the reason. */
function onEnd(channel: Channel, status: number, wait: number): void {
  const { listener, url } = channel;
  if (status === 200) return listener([], 'ended');
  if (status === 0) return listener([], 'failed', local('network', `no connection to ${new URL(url).host}`));
  if (performance.now() >= readAt + READ_INTERVAL) {
    readAt = performance.now();
    channel.direct = openDirectly(channel);
    return;
  }
  listener([], outcomeOf(status), { ...local('', ''), after: wait * 1000 });
}

/** Connection of this page to the worker. */
class WorkerLink {
  #channels = new Map<number, Channel>();
  /** HTTP streams that did not wait for the worker. */
  #early: Listener[] = [];
  #next = 0;
  /** The worker has answered. */
  #ready = false;
  #liveness = new Liveness(performance.now());
  #timer: ReturnType<typeof setInterval>;

  /** Starts or finds the worker; null if the browser forbids workers. */
  static start(url: string): WorkerLink | null {
    const script = url.replace(/(.*\/_minerva\/).*|io\/$/, '$1worker.js');
    try {
      return new WorkerLink(new SharedWorker(script, { name: MUX_NAME }));
    } catch {
      notBefore = Infinity;
      return null;
    }
  }

  private constructor(readonly worker: SharedWorker) {
    // Failures to load the worker; an ErrorEvent reports an exception in the running worker.
    worker.onerror = (event) => event instanceof ErrorEvent || this.#end(RETRY_TIME);
    worker.port.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#onMessage(data);
    this.#timer = setInterval(() => this.#tick(), PING_INTERVAL);
    addEventListener('pagehide', this.#leave);
  }

  open(channel: Channel): TransportHandle {
    const number = this.#next++;
    this.#channels.set(number, channel);
    if (this.#ready) this.#pass(number, channel);
    else setTimeout(() => this.#openEarly(number, channel), START_WAIT);
    const close = (): void => {
      channel.direct?.close();
      if (this.#channels.delete(number) && this.#ready) this.#post({ close: number });
    };
    return { close };
  }

  #openEarly(number: number, channel: Channel): void {
    if (this.#ready || !this.#channels.delete(number)) return;
    channel.direct = openDirectly(channel);
    if (channel.kind === 'http-stream') this.#early.push(channel.listener);
  }

  #pass(number: number, { kind, url, body }: Channel): void {
    this.#post({ open: number, kind, url, body });
  }

  #onMessage(message: WorkerMessage): void {
    this.#liveness.onMessage();
    if (message === 'unsupported') return this.#end(Infinity);
    if (!this.#ready) {
      this.#ready = true;
      for (const [number, channel] of this.#channels) this.#pass(number, channel);
      for (const listener of this.#early) listener([], null);
    }
    if (message === 'pong') return;
    const channel = this.#channels.get(message.of);
    if ('lines' in message) return void channel?.listener(message.lines, null);
    this.#channels.delete(message.of);
    if (channel) onEnd(channel, message.status, message.wait);
  }

  #tick(): void {
    // The machines of the streams open their transports again, over a new worker.
    if (!this.#liveness.tick(performance.now())) this.#end(this.#ready ? 0 : RETRY_TIME);
    else if (this.#channels.size > 0 || !this.#ready) this.#post('ping');
    else this.#liveness.onMessage();
  }

  /** Ends the use of this worker; no other is started for `pause` ms. */
  #end(pause: number): void {
    notBefore = performance.now() + pause;
    this.#stop();
    for (const channel of this.#channels.values()) {
      // Transports of a worker that never answered were not opened.
      if (!this.#ready) channel.direct = openDirectly(channel);
      else channel.listener([], 'failed');
    }
    this.#channels.clear();
  }

  #leave = (): void => {
    this.#post('bye');
    this.#stop();
  };

  #stop(): void {
    if (link === this) link = null;
    clearInterval(this.#timer);
    removeEventListener('pagehide', this.#leave);
    this.worker.port.onmessage = this.worker.onerror = null;
  }

  #post(message: TabMessage): void {
    this.worker.port.postMessage(message);
  }
}
