/** The global object of `client.js`, which `shared.js` requires, and checks that need its classes. Used by the tab. */
import type * as Client from '../client.js';
import type { MinervaOptions, Problem } from '../client.js';
import { wrongType } from '../errors.js';

declare global {
  const Minerva: Pick<typeof Client, 'MinervaStream' | 'MinervaError' | 'Qan' | 'toJson'> & {
    check: (url: string | URL, options: MinervaOptions) => URL;
    logProblem: (problem: Problem | null, service: string) => void;
    shared: unknown;
  };
}

/** Throws unless the stream can end with this reason. */
export function checkReason(reason: string): void {
  const rule = 'a reason has at most 255 characters 0x20-0x7E';
  if (typeof reason !== 'string') throw wrongType(rule);
  if (!/^[ -~]{0,255}$/.test(reason)) throw new Minerva.MinervaError(rule);
}

/** Transport number of the last upload of a tab, above those of the worker. */
const LAST_TRANSPORT = 2 ** 40;

/** Uploads frames of a stream in a request that outlives the page; `creates`: unless the stream exists, with these keys. */
export function uploadFrames(url: URL, options: MinervaOptions, id: string, creates: object, frames: readonly string[]): void {
  const hello = { ver: 2, tnum: LAST_TRANSPORT, id, ming: false, maxia: 0, seenack: '|-1', why: 'leave', ...creates };
  fetch(new URL('io/', url), {
    method: 'POST',
    body: [`${Minerva.toJson(hello)}H`, ...frames, ''].join('\n'),
    headers: { 'content-type': 'application/octet-stream' },
    cache: 'no-store',
    credentials: options.credentials ?? 'same-origin',
    keepalive: true,
  }).catch(() => {});
}
