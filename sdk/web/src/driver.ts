/**
 * Runs the stream machine with real sockets and the real clock: opens, writes and closes what it asks for,
 * and wakes it when it wants to be. Knows nothing of events and promises: what concerns the
 * application it passes on. Used by the client.
 */
import { loadPreferredKind, storePreferredKind } from './preferred_kind.js';
import { NETWORK_CHANGES, listenToPage } from './page_events.js';
import { StreamMachine } from './stream.js';
import type { Kind, Output, StreamOptions } from './stream/types.js';
import { openHttp, request } from './transports/http.js';
import type { Listener, TransportHandle } from './transports/transport.js';
import { openWebSocket } from './transports/websocket.js';

/** What concerns the application. */
export type AppOutput = Exclude<Output, { readonly do: 'open' | 'write' | 'close' }>;

/** Bytes that browsers let a page send while it goes away, and some room. */
const MAX_KEEPALIVE_BYTES = 60_000;
/** ms by which a timer may be late before the machine must have slept. */
const MAX_TIMER_LAG = 5_000;

export class Driver {
  readonly machine: StreamMachine;
  #ioUrl: string;
  #wsUrl: string;
  #transports = new Map<number, TransportHandle>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopListening: () => void;
  #running = false;
  #scheduled = false;

  /** `onOutput` is called for each thing in order, `onIdle` when all is done for now. */
  constructor(
    base: URL,
    options: StreamOptions,
    readonly onOutput: (output: AppOutput) => void,
    readonly onIdle: () => void,
  ) {
    this.#ioUrl = new URL('io/', base).href;
    const known = options.kind === 'auto' ? loadPreferredKind(this.#ioUrl) : undefined;
    this.machine = new StreamMachine(known ? { ...options, known } : options);
    this.#wsUrl = new URL('ws', base).href.replace(/^http/, 'ws');
    this.#stopListening = listenToPage(this.#onEvent);
  }

  /** Runs the machine once for all calls of this turn: their strings go out together. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      // What a page sends when it hears that it goes away still goes out.
      if (this.machine.away) this.#leave();
      this.run();
    });
  }

  /** Executes what the machine asks for until it asks for nothing, then sets the timer. */
  run(): void {
    // A handler of an event may call back into the stream: the outer run goes on with that.
    if (this.#running) return;
    this.#running = true;
    try {
      let outputs = this.machine.drain(now());
      while (outputs.length > 0) {
        for (const output of outputs) this.#execute(output);
        outputs = this.machine.drain(now());
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
      // Two clocks: one may stand still while the machine sleeps.
      const late = Math.max(now() - timeout, Date.now() - due);
      if (late > MAX_TIMER_LAG) this.machine.wake('clock', false, now());
      this.run();
    }, wait);
  }

  #onEvent = (event: Event): void => {
    const { type } = event;
    if (type === 'pagehide') this.#leave();
    else if (type === 'visibilitychange') this.machine.retryNow(false, now());
    // A page is also shown when it is loaded.
    else if (type !== 'pageshow' || (event as PageTransitionEvent).persisted) {
      this.machine.wake(type, NETWORK_CHANGES.includes(type), now());
    }
    this.run();
  };

  /** Sends what is queued on its way as far as it fits. */
  #leave(): void {
    const frames = this.machine.leave(MAX_KEEPALIVE_BYTES);
    if (frames) fetch(this.#ioUrl, request(frames, true)).catch(() => {});
  }

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output.key, output.kind, output.frames);
      case 'write':
        return this.#transports.get(output.key)?.write(output.frames);
      case 'close':
        this.#transports.get(output.key)?.close();
        this.#transports.delete(output.key);
        return;
      case 'end':
        this.#stopListening();
        break;
      case 'transport':
        if (output.kind && this.machine.isAuto) storePreferredKind(this.#ioUrl, output.kind);
    }
    this.onOutput(output);
  }

  #open(key: number, kind: Kind | 'upload', frames: readonly string[]): void {
    const report: Listener = (received, outcome, wait) => {
      if (received.length > 0) this.machine.recvFrames(key, received, now());
      else if (!outcome) this.machine.onOpened(key, now());
      if (outcome) {
        this.machine.onClosed(key, outcome, now(), wait);
        this.#transports.delete(key);
      }
      this.run();
    };
    const isSocket = kind === 'websocket';
    const handle = isSocket ? openWebSocket(this.#wsUrl, report) : openHttp(this.#ioUrl, frames, report, kind !== 'http-stream');
    this.#transports.set(key, handle);
  }
}

/** ms; does not go back, from any origin. */
export function now(): number {
  return performance.now();
}
