// The files of mutual TLS between this process and the cores; docs/security.md describes the certificates.
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { StartError } from './errors.js';

/**
 * PEM files: the private CA, and the certificate of this process (role `app:SERVICE`) with its key. They are read again for each
 * connection, so that renewed files need no restart.
 */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The files of MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY; undefined if none of them is set. */
export function tlsFromEnvironment(): TlsFiles | undefined {
  const names = ['MINERVA_MTLS_CA', 'MINERVA_MTLS_CERT', 'MINERVA_MTLS_KEY'];
  const [ca = '', cert = '', key = ''] = names.map((name) => process.env[name]);
  const missing = names.filter((name) => !process.env[name]);
  if (missing.length === names.length) return undefined;
  if (missing.length > 0) throw new StartError(`${missing.join(' and ')}: mutual TLS needs a CA, a certificate and a key`);
  return { ca, cert, key };
}

/** The credentials of a new connection. Throws StartError if a file cannot be read. */
export function tlsCredentials({ ca, cert, key }: TlsFiles): ChannelCredentials {
  const [roots, secret, chain] = [ca, key, cert].map(read);
  try {
    return credentials.createSsl(roots, secret, chain);
  } catch (error) {
    throw new StartError(`${cert} and ${key} are not a certificate and its key: ${String(error)}`);
  }
}

function read(path: string): Buffer {
  let content;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new StartError(`a file of TLS cannot be read: ${String(error)}`);
  }
  if (!content.includes('-----BEGIN ')) throw new StartError(`${path} has neither a certificate nor a key in PEM form`);
  return content;
}
