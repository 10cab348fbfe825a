/**
 * Owns a stream shared by all tabs of an origin: opens the stream, executes the requests of the tabs and passes events to
 * all of them. Runs in a SharedWorker whose name holds the URL and the options of the stream. Called by `shared_worker.ts`.
 */
import type { MinervaOptions, MinervaStream } from '../client.js';
import { EVENTS, type TabRequest, type WorkerNotice } from './ports.js';

declare const Minerva: { MinervaStream: typeof MinervaStream };
declare function importScripts(url: string): void;

/** Longest time in ms for which the sends of a second tab wait for the first one, which may be frozen. */
const HANDOVER_TIMEOUT = 3_000;

/**
 * Time in ms without a message of a tab after which the tab counts as absent, crashed or frozen; browsers run the timers
 * of hidden tabs once a minute.
 */
export const TAB_TIMEOUT = 150_000;

/** Time in ms for which the messages that a tab sends during its unload precede those of other tabs. */
const UNLOAD_TIME = 100;

type Call = Exclude<TabRequest, string>;

/** A stream with its tabs. After an end or a reset, tabs that connect open another one. */
interface Shared {
  readonly stream: MinervaStream;
  readonly tabs: Set<MessagePort>;
  /** Tabs of all streams, without the absent ones, with the time of their last message. */
  readonly present: Map<MessagePort, number>;
  /** The only tab that is present, which numbers its messages itself when it leaves. */
  alone: MessagePort | null;
  /** The former only tab, whose requests precede those of the other tabs. */
  former: MessagePort | null;
  /** Requests of other tabs that wait for the former only tab; null without one. */
  held: (readonly [MessagePort, Call])[] | null;
  /** Tabs whose last messages may not have arrived. */
  unloading: number;
  /** Number of the last hold. */
  holds: number;
}

/** Runs in the worker: owns the stream and the ports of the tabs. */
export function serveSharedStream(scope: { name: string; onconnect: unknown }): void {
  const { url, options } = JSON.parse(scope.name) as { url: string; options: MinervaOptions };
  const present: Shared['present'] = new Map();
  let seats = 0;
  let current: Shared | null = null;
  scope.onconnect = ({ ports: [tab] }: { ports: [MessagePort] }) => {
    if (present.size === 0) dispatchPageEvent('pageshow');
    try {
      if (!current || current.stream.end) current = open(url, options, present);
    } catch {
      // `client.js` cannot be loaded, or is the one of another release.
      return post(tab, { type: 'failed' });
    }
    const own = current;
    present.set(tab, performance.now());
    connect(own, tab, seats++);
    tab.onmessage = ({ data }: MessageEvent<TabRequest>) => {
      const now = performance.now();
      // A tab that has left may send messages of its unload.
      if (own.tabs.has(tab)) {
        const isBack = !present.has(tab);
        present.set(tab, now);
        if (isBack) join(own);
      }
      if (data === 'ping') {
        present.forEach((at, other) => now - at > TAB_TIMEOUT && present.delete(other) && reportAlone(own));
        return post(tab, { type: 'pong' });
      }
      if (data === 'shared') return own.former === tab ? release(own) : undefined;
      if (data === 'bye') {
        present.delete(tab);
        disconnect(own, tab);
        if (present.size === 0) dispatchPageEvent('pagehide');
        return;
      }
      if (own.held && own.former !== tab) own.held.push([tab, data]);
      else execute(own, tab, data);
      // The confirmation of the end takes time; tabs that connect meanwhile open another stream.
      if (!('of' in data) && current === own) current = null;
    };
  };
}

function open(url: string, options: MinervaOptions, present: Shared['present']): Shared {
  if (!('Minerva' in globalThis)) importScripts('client.js');
  const stream = new Minerva.MinervaStream(url, options);
  const tabs = new Set<MessagePort>();
  for (const type of EVENTS) {
    stream.addEventListener(type, ({ data, lastEventId }: MessageEvent) => {
      // One tab answers the questions of the application: the first that is neither crashed nor frozen.
      const [first] = [...tabs].filter((tab) => present.has(tab));
      for (const tab of tabs) post(tab, { type, data, state: stream.state, lastEventId, answers: tab === first });
    });
  }
  return { stream, tabs, present, alone: null, former: null, held: null, unloading: 0, holds: 0 };
}

function connect(shared: Shared, tab: MessagePort, seat: number): void {
  const { id, state, transport: kind, problem } = shared.stream;
  shared.tabs.add(tab);
  post(tab, { type: 'hello', id, state, seat });
  post(tab, { type: 'transport', data: { kind, why: 'shared' }, state });
  post(tab, { type: 'state', data: state, state });
  if (problem) post(tab, { type: 'problem', data: problem, state });
  join(shared);
}

/** Ends the numbering by the only tab, because a tab is new or back. */
function join(shared: Shared): void {
  const { alone } = shared;
  if (!alone) return reportAlone(shared);
  // Until the only tab has answered or left, it may number messages itself, so those of this tab wait.
  hold(shared, alone, HANDOVER_TIMEOUT);
  post(alone, { type: 'alone', at: null });
}

function disconnect(shared: Shared, tab: MessagePort): void {
  shared.tabs.delete(tab);
  // Messages that the tab sends during its unload follow.
  if (shared.alone === tab || (shared.held && shared.former === tab)) hold(shared, tab, UNLOAD_TIME);
  shared.unloading += 1;
  setTimeout(() => {
    shared.unloading -= 1;
    reportAlone(shared);
  }, UNLOAD_TIME);
}

/** Executes the requests of `former` at once, and those of other tabs after `ms` or `release`. */
function hold(shared: Shared, former: MessagePort, ms: number): void {
  const held = shared.held ?? [];
  shared.held = held.filter(([tab]) => tab !== former);
  for (const [tab, request] of held) if (tab === former) execute(shared, tab, request);
  shared.former = former;
  shared.alone = null;
  const number = ++shared.holds;
  setTimeout(() => number === shared.holds && release(shared), ms);
}

function release(shared: Shared): void {
  const { held } = shared;
  shared.held = null;
  held?.forEach(([tab, request]) => execute(shared, tab, request));
  reportAlone(shared);
}

/** Reports to the only tab, if there is one, which number its next message gets. */
function reportAlone(shared: Shared): void {
  const [tab, other] = [...shared.tabs].filter((each) => shared.present.has(each));
  if (!tab || other || shared.held || shared.unloading > 0) return;
  shared.alone = tab;
  post(tab, { type: 'alone', at: shared.stream.counters.sent });
}

/**
 * Reports to the streams of the worker that the last tab is unloaded, or that a tab has connected again. The browser
 * ends a worker without tabs, so the streams then upload unacknowledged messages and resets as a page does.
 */
function dispatchPageEvent(type: 'pagehide' | 'pageshow'): void {
  dispatchEvent(Object.assign(new Event(type), { persisted: true }));
}

/** Executes a message or an end of a tab. */
function execute(shared: Shared, tab: MessagePort, request: Call): void {
  const { stream } = shared;
  if ('reset' in request) return stream.reset(request.reset);
  if ('close' in request) return void stream.close(request.close);
  const { of, text } = request;
  const at = stream.counters.sent;
  const done = (problem: string | null): void => post(tab, { type: 'sent', of, problem });
  stream.send(text).then(
    () => done(null),
    (error: Error) => done(error.message),
  );
  if (stream.counters.sent > at) post(tab, { type: 'queued', of, at });
  // A message that its tab sent after its unload.
  if (shared.alone && shared.alone !== tab) reportAlone(shared);
}

function post(tab: MessagePort, notice: WorkerNotice): void {
  tab.postMessage(notice);
}
