/**
 * Connection of a tab to the shared worker that carries HTTP transports. A script of its own, `mux.mjs`, that the client
 * loads with the first such transport; where no worker can carry a transport, or it dies, the caller opens another one.
 *
 * The two scripts may belong to different releases, so the build must not shorten the names between them: functions and
 * positional arguments only.
 */
import { Liveness, PING_INTERVAL } from './liveness.js';
import { MUX_NAME, type TabMessage, type WorkerMessage } from './ports.js';
import type { ChannelKind } from './schedule.js';

/** Longest time in ms for which a transport waits for the start of the worker. */
const START_WAIT = 300;
/** Shortest time in ms between two refused requests that are repeated without the worker, to read the reason. */
const READ_INTERVAL = 10_000;
/** Longest request in characters for the worker; longer ones have a connection of their own. */
const MAX_BODY = 150_000;
/** Time in ms for which no further worker is started after one that did not answer. */
const RETRY_TIME = 60_000;

/**
 * Receives frames of a channel, or its end: the HTTP status, 0 after a network failure, -1 after the death of the worker,
 * and the `Retry-After` in seconds. Neither: a worker that started late may replace an HTTP stream.
 */
type Report = (frames: readonly string[], status?: number, wait?: number) => void;

interface Channel {
  readonly url: string;
  readonly kind: ChannelKind;
  /** Lines of the frames. */
  readonly body: string;
  readonly report: Report;
  /** Opens a connection of the transport's own. */
  readonly openDirectly: () => void;
}

let link: WorkerLink | null = null;
/** No worker is used before this time. */
let notBefore = 0;
/** Time of the last repetition of a refused request. */
let readAt = -READ_INTERVAL;

/**
 * Opens a transport over the worker and returns the function that closes the channel. A transport that was `early` has
 * its own connection already, and only its move to the worker is reported.
 */
export function openChannel(
  url: string,
  kind: ChannelKind,
  body: string,
  report: Report,
  openDirectly: () => void,
  early: boolean,
): () => void {
  const channel = { url, kind, body, report, openDirectly };
  if (body.length <= MAX_BODY && performance.now() >= notBefore) link ??= WorkerLink.start(url);
  if (link && body.length <= MAX_BODY) return early ? link.onEarly(channel) : link.open(channel);
  if (!early) openDirectly();
  return () => {};
}

/** Reports the end of a channel. The worker passes no texts, so a refused request is repeated to read the reason. */
function onEnd(channel: Channel, status: number, wait: number): void {
  if (status !== 200 && status > 0 && performance.now() >= readAt + READ_INTERVAL) {
    readAt = performance.now();
    channel.openDirectly();
  } else channel.report([], status, wait);
}

/** Connection of this page to the worker. */
class WorkerLink {
  #channels = new Map<number, Channel>();
  /** HTTP streams that did not wait for the worker. */
  #early = new Set<Channel>();
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

  open(channel: Channel): () => void {
    const number = this.#next++;
    this.#channels.set(number, channel);
    if (this.#ready) this.#pass(number, channel);
    else {
      setTimeout(() => {
        if (this.#ready || !this.#channels.delete(number)) return;
        channel.openDirectly();
        this.onEarly(channel);
      }, START_WAIT);
    }
    return () => {
      this.#early.delete(channel);
      if (this.#channels.delete(number) && this.#ready) this.#post({ close: number });
    };
  }

  /** Records an HTTP stream that did not wait for the worker. */
  onEarly(channel: Channel): () => void {
    if (channel.kind !== 'http-stream') return () => {};
    if (this.#ready) channel.report([]);
    else this.#early.add(channel);
    return () => this.#early.delete(channel);
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
      for (const channel of this.#early) channel.report([]);
    }
    if (message === 'pong') return;
    const channel = this.#channels.get(message.of);
    if ('lines' in message) return channel?.report(message.lines);
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
      if (!this.#ready) channel.openDirectly();
      else channel.report([], -1, 0);
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
