/** Options of a stream and their check, which needs no network. Used by the client. */
import { MinervaError } from './errors.js';
import { DEFAULT_HEARTBEAT, isCred, MAX_CRED } from './hello.js';
import { KINDS, type Kind } from './stream/types.js';

const CREDENTIALS: readonly RequestCredentials[] = ['include', 'same-origin', 'omit'];
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
  /**
   * Version of the wire protocol. Version 3 carries text of any characters and binary messages. Default `auto`: version 3,
   * or 2 if the server has no other.
   */
  readonly version?: 2 | 3 | 'auto';
  /** Credentials passed to the application at the start of the stream; at most 8,192 bytes of UTF-8. */
  readonly cred?: string;
  /**
   * Returns credentials that replace each other, as a JWT: called before the first hello, unless `cred` is present, and when the
   * server asks for new ones. Calls never overlap, unless one takes more than 30 s. After an error, or a result that is no text of
   * at most 8,192 bytes, the next call follows the back-off or the next request of the server; the stream goes on until its
   * credentials end. Renewal needs version 3.
   *
   *     new MinervaStream('/_minerva/', { getToken: async () => (await fetch('/token')).text() });
   */
  readonly getToken?: () => string | Promise<string>;
  /** Heartbeat interval of the server in whole seconds, 1 to 600; default 20. */
  readonly heartbeat?: number;
  /**
   * Whether requests of every transport carry the cookies of the user: always, for the origin of the page (default), or
   * never. Servers of another origin accept cookies only if they list the origin of the page.
   */
  readonly credentials?: RequestCredentials;
  /**
   * Name of a session: the stream outlives the page, with the own messages that are not acknowledged. Needs version 3. Put the
   * user into the name, and call `MinervaStream.forget` at logout.
   */
  readonly session?: string;
  /** Pages that continue the session: later loads of this tab (default), or any page of the origin, one at a time. */
  readonly scope?: 'tab' | 'origin';
  /** If another page has the session, as after the duplication of a tab: begin a new one (default), wait, or take it over. */
  readonly busy?: 'new' | 'wait' | 'steal';
  /**
   * Messages that a later page load receives again, if the application retains them: all (default), those that the earlier page
   * had not received (`unseen`), those that no page has received (`new`), or from a message number on.
   */
  readonly rewind?: 'all' | 'unseen' | 'new' | number;
  /**
   * URL of the service for long HTTP requests, on a host name of its own: browsers open six HTTP/1.1 connections per
   * host name. Used beside the first URL of the service.
   */
  readonly longUrl?: string | URL;
}

/** URL of a service, or several that are tried in turn. */
export type ServiceUrl = string | URL | readonly (string | URL)[];

/** Throws `MinervaError` for options that no server accepts; an attempt with them could only be refused. */
export function checkOptions(options: MinervaOptions): void {
  const { transport = 'auto', version = 'auto', cred = '', heartbeat = DEFAULT_HEARTBEAT, credentials = 'omit' } = options;
  const { getToken } = options;
  const rules: [boolean, string][] = [
    [['auto', ...KINDS].includes(transport), `transport is auto, ${KINDS.join(', ')}`],
    [VERSION_3 ? ['auto', 2, 3].includes(version) : version !== 3, VERSION_3 ? 'version is auto, 2 or 3' : 'load client3.js'],
    [VERSION_3 || options.session === undefined, 'sessions need client3.js'],
    [CREDENTIALS.includes(credentials), `credentials is ${CREDENTIALS.join(', ')}`],
    [!getToken || (VERSION_3 && typeof getToken === 'function'), VERSION_3 ? 'getToken is a function' : 'getToken needs client3.js'],
    [isCred(cred), `cred is text of at most ${MAX_CRED} bytes in UTF-8`],
    [Number.isInteger(heartbeat) && heartbeat > 0 && heartbeat <= MAX_HEARTBEAT, `heartbeat is 1 to ${MAX_HEARTBEAT} s`],
  ];
  for (const [isMet, rule] of rules) if (!isMet) throw new MinervaError(rule);
}

/** Resolves all URLs of a service; none outside of a page if one is relative. Throws as `resolveService`. */
export function resolveAll(urls: ServiceUrl): URL[] {
  const list = typeof urls === 'string' || urls instanceof URL ? [urls] : urls;
  if (!(list.length > 0)) throw new MinervaError('no URL');
  const bases = list.map(resolveService);
  return bases.every((base) => base !== null) ? bases : [];
}

/**
 * Resolves the URL of a service. Null for a relative URL outside of a page, as during server-side rendering; throws
 * `MinervaError` for an invalid one.
 */
export function resolveService(url: string | URL): URL | null {
  const page = globalThis.location?.href;
  let base: URL | undefined;
  try {
    base = new URL(url, page ?? 'http://page.invalid');
  } catch {}
  if (!base?.protocol.startsWith('http')) throw new MinervaError(`no URL of a service: ${String(url)}`);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return page === undefined && base.hostname === 'page.invalid' ? null : base;
}
