/**
 * Runs the stream machine on real transports, timers and the clock: executes the outputs of the machine and feeds
 * transport and page events back. Events and promises for the application belong to the client, the only caller.
 */
import { diagnose } from './diagnosis.js';
import type { Endpoints } from './endpoints.js';
import { loadPreferredKind, storePreferredKind } from './preferred_kind.js';
import { listenToPage, NETWORK_CHANGES } from './page_events.js';
import { StreamMachine } from './stream.js';
import type { Output, StreamOptions } from './stream/types.js';
import { openHttp, request } from './transports/http.js';
import { openMultiplexed } from './transports/multiplexed.js';
import type { Listener, TransportHandle } from './transports/transport.js';
import { openWebSocket } from './transports/websocket.js';

/** Outputs of the machine that the application receives. */
export type AppOutput = Exclude<Output, { readonly do: 'open' | 'write' | 'close' | 'fallback' | 'token' }>;

/** Largest request of a page that is being unloaded: browsers allow 64 KiB with `keepalive`, less some room. */
const MAX_KEEPALIVE_BYTES = 60_000;
/** A timer later than this, in ms, means that the computer slept or the tab was frozen. */
const MAX_TIMER_LAG = 5_000;

/** Services of this page whose servers have no version 3. */
const VERSION_2 = /* @__PURE__ */ new Set<string>();

export class Driver {
  readonly machine: StreamMachine;
  #transports = new Map<number, TransportHandle>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopListening = (): void => {};
  /** A run is under way; also before the start, so that no earlier call opens a transport. */
  #running = true;
  #diagnosing = false;
  #scheduled = false;

  /**
   * Calls `onOutput` for each output in order, and `onIdle` after each run of the machine. Without a URL nothing is
   * opened.
   */
  constructor(
    readonly endpoints: Endpoints,
    options: StreamOptions,
    readonly onOutput: (output: AppOutput) => void,
    readonly onIdle: () => void,
  ) {
    const [base] = endpoints.bases;
    const known = base && options.kind === 'auto' ? loadPreferredKind(base.href) : undefined;
    this.machine = new StreamMachine({ ...options, known, ...(VERSION_3 && VERSION_2.has(String(endpoints.bases)) && { version: 2 }) });
    this.machine.away = !base;
    this.machine.urls = endpoints.bases.length;
  }

  /** Opens the first transport. */
  start(): void {
    this.#running = false;
    if (this.endpoints.bases.length > 0) this.#stopListening = listenToPage(this.#onEvent);
    this.run();
  }

  /** Schedules one run at the end of this turn, so that messages sent in one turn share a write. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      // Messages sent during `pagehide`, after the first final upload, need another one.
      if (this.machine.away && this.endpoints.bases.length > 0) this.#leave();
      this.run();
    });
  }

  /** Executes outputs until the machine has none left, then sets the timer. */
  run(): void {
    // An event handler may call into the stream; the outer run then processes the result.
    if (this.#running) return;
    this.#running = true;
    try {
      for (let outputs; (outputs = this.machine.drain(now())).length > 0; ) {
        for (const output of outputs) this.#execute(output);
      }
    } finally {
      this.#running = false;
    }
    this.#arm();
    this.onIdle();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const timeout = this.machine.pollTimeout();
    if (timeout === null) return;
    const wait = Math.max(0, timeout - now());
    const due = Date.now() + wait;
    this.#timer = setTimeout(() => {
      // Some platforms stop one of the two clocks during sleep.
      const late = Math.max(now() - timeout, Date.now() - due);
      if (late > MAX_TIMER_LAG) this.machine.wake('clock', false, now());
      this.run();
    }, wait);
  }

  #onEvent = (event: Event): void => {
    const { type } = event;
    if (type === 'pagehide') this.#leave();
    // A stream that works keeps the times of its probes.
    else if (type === 'visibilitychange') {
      if (this.machine.state !== 'open') this.machine.retryNow(false, now());
    }
    // `pageshow` also fires on load; only a page restored from the back-forward cache wakes the machine.
    else if (type !== 'pageshow' || (event as PageTransitionEvent).persisted) {
      this.machine.wake(type, NETWORK_CHANGES.includes(type), now());
    }
    this.run();
  };

  /** Uploads queued messages, up to the size limit, in a request that outlives the page. */
  #leave(): void {
    const frames = this.machine.leave(MAX_KEEPALIVE_BYTES);
    const { credentials } = this.endpoints;
    if (frames) {
      fetch(this.endpoints.url('upload'), request(this.machine.version || 3, frames, credentials, true)).catch(() => {});
    }
  }

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output);
      case 'write':
        return this.#transports.get(output.key)?.write?.(output.frames);
      case 'close':
        this.#transports.get(output.key)?.close();
        this.#transports.delete(output.key);
        return;
      case 'end':
        this.#stopListening();
        break;
      case 'fallback':
        if (VERSION_3 && !this.machine.away) VERSION_2.add(String(this.endpoints.bases));
        return;
      case 'token':
        if (VERSION_3) void this.#fetchToken();
        return;
      case 'problem':
        if (output.problem?.code === 'network') this.#diagnose();
        break;
      case 'transport':
        if (output.kind && this.machine.isAuto) storePreferredKind(String(this.endpoints.bases[0]), output.kind);
    }
    this.onOutput(output);
  }

  /** Calls `getToken` of the page; an error is a result that is no token. */
  async #fetchToken(): Promise<void> {
    let token: unknown;
    try {
      token = await this.machine.options.getToken?.();
    } catch {}
    this.machine.credentials?.onToken(token, now());
    this.run();
  }

  /** Replaces the problem `network` by a more precise one. */
  #diagnose(): void {
    if (this.#diagnosing) return;
    this.#diagnosing = true;
    void diagnose(this.endpoints.url('upload'), this.endpoints.credentials).then((refusal) => {
      this.#diagnosing = false;
      if (!refusal) return;
      this.machine.onDiagnosed(refusal);
      this.run();
    });
  }

  #open({ key, kind, frames, versions: [version, ...others] }: Output & { readonly do: 'open' }): void {
    const { endpoints, machine } = this;
    const { credentials } = endpoints;
    const index = endpoints.next(kind, machine.transport === null, !machine.isAuto);
    const url = endpoints.url(kind, index);
    const report: Listener = (received, outcome, refusal, selected) => {
      if (received.length > 0) {
        // The kinds that failed at the former URL may work at this one.
        if (endpoints.onAnswer(index, machine.transport === null)) machine.retryNow(true, now());
        this.machine.recvFrames(key, received, now());
      } else if (!outcome) this.machine.onOpened(key, now(), selected);
      if (outcome) {
        this.machine.onClosed(key, outcome, now(), refusal);
        this.#transports.delete(key);
      }
      this.run();
    };
    const handle =
      kind === 'websocket'
        ? openWebSocket(url, [version, ...others], report)
        : machine.isAuto && credentials !== 'omit'
          ? openMultiplexed(url, version, frames, report, kind, credentials)
          : openHttp(url, version, frames, report, kind !== 'http-stream', credentials);
    this.#transports.set(key, handle);
  }
}

/** Returns the monotonic time in ms, from an arbitrary origin. */
export function now(): number {
  return performance.now();
}
