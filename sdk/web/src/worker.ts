/** Script of the shared worker that carries the HTTP transports of all tabs of an origin. */
import { connectTab } from './mux/worker.js';

Object.assign(globalThis, { onconnect: ({ ports: [tab] }: MessageEvent) => tab && connectTab(tab) });
