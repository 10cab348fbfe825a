/**
 * Runs the stream machine with real sockets and the real clock: opens, writes and closes what it asks for,
 * and wakes it when it wants to be. Knows nothing of events and promises: what concerns the
 * application it passes on. Used by the client.
 */
import { recall, remember } from './preferred_kind.js';
import { CHANGES, listen } from './page_events.js';
import { StreamMachine } from './stream.js';
import type { Kind, Output, StreamOptions } from './stream/types.js';
import { openHttp, request } from './transports/http.js';
import type { Listener, TransportHandle } from './transports/transport.js';
import { openWebSocket } from './transports/websocket.js';

/** What concerns the application. */
export type News = Exclude<Output, { readonly do: 'open' | 'write' | 'close' }>;

/** Bytes that browsers let a page send while it goes away, and some room. */
const PARTING = 60_000;
/** ms by which a timer may be late before the machine must have slept. */
const LATE = 5_000;

export class Driver {
  readonly machine: StreamMachine;
  #ioUrl: string;
  #wsUrl: string;
  #transports = new Map<number, TransportHandle>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopListening: () => void;
  #running = false;
  #scheduled = false;

  /** `onNews` is called for each thing in order, `onRest` when all is done for now. */
  constructor(
    base: URL,
    options: StreamOptions,
    readonly onNews: (news: News) => void,
    readonly onRest: () => void,
  ) {
    this.#ioUrl = new URL('io/', base).href;
    const known = options.kind === 'auto' ? recall(this.#ioUrl) : undefined;
    this.machine = new StreamMachine(known ? { ...options, known } : options);
    this.#wsUrl = new URL('ws', base).href.replace(/^http/, 'ws');
    this.#stopListening = listen(this.#onEvent);
  }

  /** Runs the machine once for all calls of this turn: their strings go out together. */
  soon(): void {
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
    this.onRest();
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
      if (late > LATE) this.machine.wake('clock', false, now());
      this.run();
    }, wait);
  }

  #onEvent = (event: Event): void => {
    const { type } = event;
    if (type === 'pagehide') this.#leave();
    else if (type === 'visibilitychange') this.machine.hurry(false, now());
    // A page is also shown when it is loaded.
    else if (type !== 'pageshow' || (event as PageTransitionEvent).persisted) {
      this.machine.wake(type, CHANGES.includes(type), now());
    }
    this.run();
  };

  /** Sends what is queued on its way as far as it fits. */
  #leave(): void {
    const frames = this.machine.leave(PARTING);
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
        if (output.kind && this.machine.isAuto) remember(this.#ioUrl, output.kind);
    }
    this.onNews(output);
  }

  #open(key: number, kind: Kind | 'upload', frames: readonly string[]): void {
    const report: Listener = (received, ending, wait) => {
      if (received.length > 0) this.machine.recvFrames(key, received, now());
      else if (!ending) this.machine.onOpened(key, now());
      if (ending) {
        this.machine.onClosed(key, ending, now(), wait);
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
