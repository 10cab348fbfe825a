// Addresses of cores: parsing, name resolution and connections. Used by the service and by `Streams`.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { type ChannelCredentials, Metadata, credentials } from '@grpc/grpc-js';
import { MinervaError, StartError } from './errors.js';
import { type TlsFiles, tlsCredentials, tlsFromEnvironment } from './tls.js';

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
  readonly tls?: TlsFiles;
}

/**
 * Parses `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, as one text with commas or as a list, and removes duplicates. With
 * files of TLS, by default those of the environment, `HOST:PORT` is an address of TLS. Throws StartError if a file is unreadable.
 */
export function parseAddresses(cores: string | readonly string[], tls: TlsFiles | undefined = tlsFromEnvironment()): Address[] {
  if (tls) tlsCredentials(tls);
  const texts = typeof cores === 'string' ? cores.split(',').map((text) => text.trim()) : cores;
  const addresses = new Map(texts.map((text) => parse(text, tls)).map((address) => [address.key, address]));
  if (addresses.size < 1 || addresses.size > MAX_ADDRESSES) {
    throw new StartError(`${addresses.size} addresses of cores: 1 to ${MAX_ADDRESSES} are possible`);
  }
  return [...addresses.values()];
}

function parse(text: string, tls: TlsFiles | undefined): Address {
  const problem = new StartError(
    `\`${text}\` is not the address of a core: use HOST:PORT, http://HOST:PORT or https://HOST:PORT`,
  );
  let url;
  try {
    url = new URL(text.includes('://') ? text : `${tls ? 'https' : 'http'}://${text}`);
  } catch {
    throw problem;
  }
  const isPlain = url.pathname === '/' && !url.search && !url.hash && !url.username;
  if (!['http:', 'https:'].includes(url.protocol) || !url.hostname || !isPlain) throw problem;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isTls = url.protocol === 'https:';
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port);
  const address = { host, port, key: `${host}:${port}` };
  if (!isTls) return address;
  if (tls) return { ...address, tls };
  throw new StartError(
    `\`${text}\` needs files of TLS: set MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY, or \`tls\``,
  );
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

/** The arguments of a client for one target of an address. Throws StartError if a file of TLS is unreadable now. */
export function connection({ host, key, tls }: Address, at: string): [string, ChannelCredentials, object] {
  const options = { ...OPTIONS, 'grpc.default_authority': key };
  if (!tls) return [at, credentials.createInsecure(), options];
  // The certificate names the host; the target is one of its socket addresses.
  return [at, tlsCredentials(tls), { ...options, 'grpc.ssl_target_name_override': host }];
}

/** The metadata of each call: the token, or that of the variable MINERVA_TOKEN. */
export function credentialsOf(token: string | undefined): Metadata {
  const metadata = new Metadata();
  const secret = token ?? process.env['MINERVA_TOKEN'];
  if (secret && !/^[!-~]+$/.test(secret)) throw new StartError('the token has other characters than 0x21-0x7E: copy it again');
  if (secret) metadata.set('authorization', `Bearer ${secret}`);
  return metadata;
}
