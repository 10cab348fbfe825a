/**
 * Runs the stream machine with real sockets and the real clock: opens, writes and closes what it asks for,
 * and wakes it when it wants to be. Knows nothing of events and promises: what concerns the
 * application it passes on. Used by the client.
 */
import { StreamMachine, type StreamOptions } from './stream.js';
import type { Kind, Output } from './stream/types.js';
import { openHttpStream } from './transports/http_stream.js';
import { openLongPoll } from './transports/longpoll.js';
import type { TransportHandle } from './transports/transport.js';
import { openWebSocket } from './transports/websocket.js';

/** What concerns the application. */
export type News = Exclude<Output, { readonly do: 'open' | 'write' | 'close' }>;

export class Driver {
  readonly machine: StreamMachine;
  #ioUrl: string;
  #wsUrl: string;
  #transports = new Map<number, TransportHandle>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #scheduled = false;

  /** `onNews` is called for each thing in order, `onRest` when all is done for now. */
  constructor(
    base: URL,
    options: StreamOptions,
    readonly onNews: (news: News) => void,
    readonly onRest: () => void,
  ) {
    this.machine = new StreamMachine(options);
    this.#ioUrl = new URL('io/', base).href;
    this.#wsUrl = new URL('ws', base).href.replace(/^http/, 'ws');
    globalThis.addEventListener?.('online', this.#onOnline);
  }

  /** Runs the machine once for all calls of this turn: their strings go out together. */
  soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
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
    clearTimeout(this.#timer);
    const timeout = this.machine.pollTimeout();
    if (timeout !== null) this.#timer = setTimeout(() => this.run(), Math.max(0, timeout - now()));
    this.onRest();
  }

  #onOnline = (): void => {
    this.machine.hurry(now());
    this.run();
  };

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output.tnum, output.kind, output.frames);
      case 'write':
        return this.#transports.get(output.tnum)?.write(output.frames);
      case 'close':
        this.#transports.get(output.tnum)?.close();
        this.#transports.delete(output.tnum);
        return;
      case 'end':
        globalThis.removeEventListener?.('online', this.#onOnline);
        return this.onNews(output);
      default:
        return this.onNews(output);
    }
  }

  #open(tnum: number, kind: Kind | 'upload', frames: readonly string[]): void {
    const [open, url] =
      kind === 'websocket'
        ? [openWebSocket, this.#wsUrl]
        : [kind === 'http-stream' ? openHttpStream : openLongPoll, this.#ioUrl];
    const handle = open(url, frames, (received, ending) => {
      if (received.length > 0) this.machine.recvFrames(tnum, received, now());
      if (ending) {
        this.machine.onClosed(tnum, ending, now());
        this.#transports.delete(tnum);
      }
      this.run();
    });
    this.#transports.set(tnum, handle);
  }
}

/** ms; does not go back, from any origin. */
export function now(): number {
  return performance.now();
}
