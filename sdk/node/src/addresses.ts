// Addresses of cores: parsing, name resolution and connections. Used by the service and by `Streams`.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Metadata, credentials } from '@grpc/grpc-js';
import { MinervaError, StartError } from './errors.js';

/** Most addresses per service, and most socket addresses used per host name. */
const MAX_ADDRESSES = 64;
/** Deadline of one DNS lookup, in ms. */
const LOOKUP_TIMEOUT = 5_000;

const OPTIONS = {
  // Well above the batches of a core.
  'grpc.max_receive_message_length': 32 << 20,
  // A dead core is noticed within 20 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  // Retries with back-off are those of the service.
  'grpc.enable_retries': 0,
  // Connections of two services in one process are not shared.
  'grpc.use_local_subchannel_pool': 1,
  // The proxies of the environment are for the web.
  'grpc.enable_http_proxy': 0,
};

/** One configured address of a core. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** Identifies the core until the core's id is known. */
  readonly key: string;
}

/** Parses `HOST:PORT` or `http://HOST:PORT`, as one text with commas or as a list, and removes duplicates. */
export function parseAddresses(cores: string | readonly string[]): Address[] {
  const texts = typeof cores === 'string' ? cores.split(',').map((text) => text.trim()) : cores;
  const addresses = new Map(texts.map(parse).map((address) => [address.key, address]));
  if (addresses.size < 1 || addresses.size > MAX_ADDRESSES) {
    throw new StartError(`${addresses.size} addresses of cores: 1 to ${MAX_ADDRESSES} are possible`);
  }
  return [...addresses.values()];
}

function parse(text: string): Address {
  const problem = new StartError(`\`${text}\` is not the address of a core: use HOST:PORT or http://HOST:PORT`);
  let url;
  try {
    url = new URL(text.includes('://') ? text : `http://${text}`);
  } catch {
    throw problem;
  }
  const isPlain = url.pathname === '/' && !url.search && !url.hash && !url.username;
  if (url.protocol !== 'http:' || !url.hostname || !isPlain) throw problem;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 80 : Number(url.port);
  return { host, port, key: `${host}:${port}` };
}

/** The gRPC targets of a host; empty if the lookup fails now. */
export async function resolve({ host, port }: Address): Promise<string[]> {
  if (isIP(host)) return [target(host, isIP(host), port)];
  const timer = new AbortController();
  const timeout = new Promise<never>((_, reject) => {
    const late = setTimeout(() => reject(new MinervaError('timed out')), LOOKUP_TIMEOUT);
    timer.signal.addEventListener('abort', () => clearTimeout(late));
  });
  try {
    const found = await Promise.race([lookup(host, { all: true }), timeout]);
    return found.slice(0, MAX_ADDRESSES).map(({ address, family }) => target(address, family, port));
  } catch (error) {
    console.warn(`minerva: cannot resolve the host ${host} of a core: ${String(error)}`);
    return [];
  } finally {
    timer.abort();
  }
}

function target(host: string, family: number, port: number): string {
  return family === 6 ? `ipv6:[${host}]:${port}` : `ipv4:${host}:${port}`;
}

/** The arguments of a client for one target of an address. */
export function connection(address: Address, at: string): [string, ReturnType<typeof credentials.createInsecure>, object] {
  return [at, credentials.createInsecure(), { ...OPTIONS, 'grpc.default_authority': address.key }];
}

/** The metadata of each call: the token, or that of the variable MINERVA_TOKEN. */
export function credentialsOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  const secret = token ?? process.env['MINERVA_TOKEN'];
  if (secret && !/^[!-~]+$/.test(secret)) throw new StartError('the token has other characters than 0x21-0x7E: copy it again');
  if (secret) metadata.set('authorization', `Bearer ${secret}`);
  return metadata;
}
