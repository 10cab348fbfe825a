/** Options of a stream and their check, which needs no network. Used by the client. */
import { MinervaError } from './errors.js';
import { DEFAULT_HEARTBEAT } from './hello.js';
import { KINDS, type Kind } from './stream/types.js';

/** Longest `cred` in UTF-8 bytes that servers accept. */
export const MAX_CRED = 8192;
/** Longest heartbeat interval in seconds. */
const MAX_HEARTBEAT = 600;

/**
 * Options of a stream.
 *
 *     new MinervaStream('/_minerva/', { cred: token, heartbeat: 10 });
 */
export interface MinervaOptions {
  /** Transport kind to use exclusively; default `auto`, the best kind that works in the present network. */
  readonly transport?: Kind | 'auto';
  /** Credentials passed to the application at the start of the stream; at most 8,192 bytes of UTF-8. */
  readonly cred?: string;
  /** Heartbeat interval of the server in whole seconds, 1 to 600; default 20. */
  readonly heartbeat?: number;
}

/** Throws `MinervaError` for options that no server accepts; an attempt with them could only be refused. */
export function checkOptions({ transport = 'auto', cred = '', heartbeat = DEFAULT_HEARTBEAT }: MinervaOptions): void {
  const fail = (problem: string): never => {
    throw new MinervaError(problem);
  };
  if (!['auto', ...KINDS].includes(transport)) fail(`transport is auto, ${KINDS.join(', ')}`);
  if (typeof cred !== 'string') fail('cred is a string');
  if (/\p{Surrogate}/u.test(cred)) fail('cred has a lone surrogate');
  if (new TextEncoder().encode(cred).length > MAX_CRED) fail(`cred has at most ${MAX_CRED} bytes of UTF-8`);
  if (!Number.isInteger(heartbeat) || heartbeat < 1 || heartbeat > MAX_HEARTBEAT) {
    fail(`heartbeat is 1 to ${MAX_HEARTBEAT} whole seconds`);
  }
}

/**
 * Resolves the URL of a service. Null for a relative URL outside of a page, as during server-side rendering; throws
 * `MinervaError` for an invalid one.
 */
export function resolveService(url: string | URL): URL | null {
  const page = globalThis.location?.href;
  let base: URL;
  try {
    base = new URL(url, page ?? 'http://page.invalid');
  } catch {
    throw new MinervaError(`${JSON.stringify(url)} is no URL of a service`);
  }
  if (!/^(http|ws)s?:$/.test(base.protocol)) throw new MinervaError(`${base.protocol} is no protocol of a service`);
  base.protocol = base.protocol.replace('ws', 'http');
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return page === undefined && base.hostname === 'page.invalid' ? null : base;
}
