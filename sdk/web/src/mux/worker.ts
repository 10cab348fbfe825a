/**
 * Shared worker that carries the HTTP transports of all tabs of an origin. Runs the schedule with `fetch`, and connects
 * the ports of the tabs. Called by the script of the worker.
 */
import { encodeParts, ResponseParser, type Mode, type Part } from './format.js';
import type { TabMessage, WorkerMessage } from './ports.js';
import { MuxSchedule, type ChannelKind, type MuxOutput } from './schedule.js';

/** Time in ms without a ping after which a tab is gone; browsers run the timers of hidden tabs once a minute. */
const TAB_TIMEOUT = 150_000;

interface Tab {
  readonly port: MessagePort;
  /** Channels of the worker by those of the tab. */
  readonly channels: Map<number, { readonly mux: Mux; readonly channel: number }>;
  seenAt: number;
}

const muxes = new Map<string, Mux>();
const tabs = new Set<Tab>();
let channels = 0;

/** Connects a tab. */
export function connectTab(port: MessagePort): void {
  const tab: Tab = { port, channels: new Map(), seenAt: performance.now() };
  tabs.add(tab);
  port.onmessage = ({ data }: MessageEvent<TabMessage>) => onMessage(tab, data);
  post(port, 'pong');
}

function onMessage(tab: Tab, message: TabMessage): void {
  tab.seenAt = performance.now();
  // A frozen tab that resumes was disconnected.
  tabs.add(tab);
  if (message === 'ping') {
    post(tab.port, 'pong');
    // The server would count the streams of crashed tabs as connected.
    for (const other of tabs) if (tab.seenAt - other.seenAt > TAB_TIMEOUT) disconnect(other);
  } else if (message === 'bye') disconnect(tab);
  else if ('close' in message) {
    const open = tab.channels.get(message.close);
    tab.channels.delete(message.close);
    open?.mux.close(open.channel);
  } else {
    const { open: number, kind, url, body } = message;
    const [, base = '', service = ''] = /^(.*?\/)(?:([^/]+)\/)?io\/$/.exec(url) ?? [];
    const atDefault = base.endsWith('/_minerva/');
    const root = atDefault ? base : `${base}${service && `${service}/`}`;
    const mux = muxes.get(root) ?? new Mux(`${root}mux/`);
    muxes.set(root, mux);
    const channel = channels++;
    tab.channels.set(number, { mux, channel });
    mux.open(channel, { kind, service: atDefault ? service : '', body }, (event) => {
      if (event === 'unsupported' || 'status' in event) tab.channels.delete(number);
      post(tab.port, event === 'unsupported' ? event : { ...event, of: number });
    });
  }
}

function disconnect(tab: Tab): void {
  tabs.delete(tab);
  for (const [number, { mux, channel }] of tab.channels) {
    mux.close(channel);
    post(tab.port, { of: number, status: 0, wait: 0 });
  }
  tab.channels.clear();
}

function post(port: MessagePort, message: WorkerMessage): void {
  port.postMessage(message);
}

/** The transports to one server. */
class Mux {
  #schedule = new MuxSchedule();
  #reports = new Map<number, (message: Exclude<WorkerMessage, 'pong'>) => void>();
  #fetches = new Map<number, AbortController>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly url: string) {}

  open(
    channel: number,
    { kind, service, body }: { kind: ChannelKind; service: string; body: string },
    report: (message: Exclude<WorkerMessage, 'pong'>) => void,
  ): void {
    this.#reports.set(channel, report);
    this.#schedule.open(channel, kind, service, body, performance.now());
    this.#run();
  }

  close(channel: number): void {
    this.#reports.delete(channel);
    this.#schedule.close(channel);
    this.#run();
  }

  #run(): void {
    for (const output of this.#schedule.drain(performance.now())) this.#execute(output);
    clearTimeout(this.#timer);
    const now = performance.now();
    const timeout = this.#schedule.timeout(now);
    if (timeout < Infinity) this.#timer = setTimeout(() => this.#run(), Math.max(0, timeout - now));
  }

  #execute(output: MuxOutput): void {
    switch (output.do) {
      case 'fetch':
        return void this.#fetch(output.request, output.mode, output.parts);
      case 'abort':
        this.#fetches.get(output.request)?.abort();
        this.#fetches.delete(output.request);
        return;
      case 'frames':
        return this.#reports.get(output.channel)?.({ of: 0, lines: output.frames });
      case 'end':
        this.#reports.get(output.channel)?.({ of: 0, status: output.status, wait: output.wait });
        this.#reports.delete(output.channel);
    }
  }

  async #fetch(number: number, mode: Mode, parts: readonly Part[]): Promise<void> {
    const abort = new AbortController();
    this.#fetches.set(number, abort);
    let status = 0;
    let wait = 0;
    try {
      const response = await fetch(this.url, {
        method: 'POST',
        body: encodeParts(mode, parts),
        headers: { 'content-type': 'application/octet-stream' },
        cache: 'no-store',
        signal: abort.signal,
      });
      if (response.status === 200 && response.body) await this.#read(number, response.body, abort.signal);
      status = response.status;
      wait = Number(response.headers.get('retry-after')) || 0;
    } catch {
      // A network failure, or the abort.
    }
    this.#fetches.delete(number);
    if (abort.signal.aborted) return;
    // A server of an earlier release, or a proxy that passes known paths only.
    if ([404, 405].includes(status)) for (const report of this.#reports.values()) report('unsupported');
    this.#schedule.onRequestEnd(number, status, wait, performance.now());
    this.#run();
  }

  async #read(number: number, body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder('latin1');
    const parser = new ResponseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        if ('data' in event) this.#schedule.onData(number, event.channel, event.data);
        else this.#schedule.onChannelEnd(number, event.channel, event.status, event.wait);
      }
      if (parser.corrupt) throw new Error('not a response of Minerva');
      this.#run();
    }
  }
}
