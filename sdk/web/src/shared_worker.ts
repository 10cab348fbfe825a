/**
 * Owns a stream shared by all tabs of an origin: opens the stream, executes the requests of the tabs and passes events to
 * all of them. Runs in a SharedWorker whose name holds the URL and the options of the stream. Called by `shared.ts`.
 */
import type { MinervaOptions, MinervaStream } from './client.js';
import type { TabRequest } from './shared_ports.js';

declare const Minerva: { MinervaStream: typeof MinervaStream };
declare function importScripts(url: string): void;

/** Runs in the worker: owns the stream and the ports of the tabs. */
export function serveSharedStream(scope: { name: string; onconnect: unknown }): void {
  const { url, options } = JSON.parse(scope.name) as { url: string; options: MinervaOptions };
  const allTabs = new Set<MessagePort>();
  let tabs = new Set<MessagePort>();
  let stream: MinervaStream | null = null;
  const open = (): MinervaStream => {
    if (!('Minerva' in globalThis)) importScripts(new URL('client.js', location.href).href);
    const fresh = new Minerva.MinervaStream(url, options);
    const own = (tabs = new Set());
    for (const type of ['message', 'state', 'transport', 'end'] as const) {
      fresh.addEventListener(type, ({ data }: MessageEvent) => {
        for (const tab of own) tab.postMessage({ type, data, state: fresh.state });
      });
    }
    return fresh;
  };
  scope.onconnect = ({ ports: [tab] }: MessageEvent) => {
    if (!tab) return;
    if (allTabs.size === 0) dispatchPageEvent('pageshow');
    try {
      if (!stream || stream.end) stream = open();
    } catch (error) {
      // Invalid options, or `client.js` cannot be loaded.
      return tab.postMessage({ type: 'failed', reason: (error as Error).message });
    }
    allTabs.add(tab);
    const own = stream;
    const others = tabs.add(tab);
    const { state, transport } = own;
    tab.postMessage({ type: 'transport', data: { kind: transport, why: 'shared' }, state });
    tab.postMessage({ type: 'state', data: state, state });
    tab.onmessage = ({ data }: MessageEvent<TabRequest>) => {
      if ('bye' in data) {
        for (const set of [others, allTabs]) set.delete(tab);
        if (allTabs.size === 0) dispatchPageEvent('pagehide');
      } else handleRequest(own, tab, data);
      // The confirmation of a reset takes time; tabs that connect meanwhile open another stream.
      if ('reset' in data && stream === own) stream = null;
    };
  };
}

/**
 * Reports to the streams of the worker that the last tab is unloaded, or that a tab has connected again. The browser
 * ends a worker without tabs, so the streams then upload unacknowledged messages and resets as a page does.
 */
function dispatchPageEvent(type: 'pagehide' | 'pageshow'): void {
  dispatchEvent(Object.assign(new Event(type), { persisted: true }));
}

/** Executes a request of a tab. */
function handleRequest(stream: MinervaStream, tab: MessagePort, request: Exclude<TabRequest, { bye: true }>): void {
  if ('reset' in request) stream.reset(request.reset);
  else {
    const { number } = request;
    const done = (problem: string | null): void => tab.postMessage({ type: 'sent', number, problem });
    stream.send(request.text).then(
      () => done(null),
      (error: Error) => done(error.message),
    );
  }
}
