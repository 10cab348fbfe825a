// Mutual TLS with a running `minerva-core`; certificates by openssl.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, mock, test } from 'node:test';
import { Service, StartError, Streams, type TlsFiles } from '../src/index.js';
import { BIN, freePort } from './minerva_process.js';

const CORE = `${BIN}-core`;
const skip = existsSync(CORE) && spawnSync('openssl', ['version']).status === 0 ? false : `${CORE} or openssl is missing`;
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A private CA, and certificates with a role. */
class Certificates {
  readonly folder = mkdtempSync(`${tmpdir()}/minerva-tls-`);

  constructor() {
    this.openssl('req', '-x509', ...KEY, '-days', '1', '-subj', '/CN=private CA', '-keyout', 'ca.key', '-out', 'ca.pem');
  }

  make(role: string): TlsFiles {
    const name = role.replace(':', '-');
    this.openssl('req', ...KEY, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    writeFileSync(`${this.folder}/san`, `subjectAltName=URI:minerva:${role},DNS:localhost\n`);
    const ca = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-extfile', 'san'];
    this.openssl('x509', '-req', '-in', `${name}.csr`, ...ca, '-out', `${name}.pem`);
    return { ca: `${this.folder}/ca.pem`, cert: `${this.folder}/${name}.pem`, key: `${this.folder}/${name}.key` };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private openssl(...options: string[]): void {
    execFileSync('openssl', options, { cwd: this.folder, stdio: 'ignore' });
  }
}

describe('with a core that requires mutual TLS', { skip }, () => {
  let [certificates, cores]: [Certificates, string] = [undefined!, ''];
  let core: ChildProcess;

  before(async () => {
    certificates = new Certificates();
    const files = certificates.make('core');
    const [link, api, admin] = [await freePort(), await freePort(), await freePort()];
    const ports = [`--link=127.0.0.1:${link}`, `--api=127.0.0.1:${api}`, `--admin=127.0.0.1:${admin}`];
    const tls = [`--mtls-ca=${files.ca}`, `--mtls-cert=${files.cert}`, `--mtls-key=${files.key}`];
    core = spawn(CORE, [...ports, ...tls, `--store=redb:${certificates.folder}/store`], { stdio: 'ignore' });
    const runs = () => fetch(`http://127.0.0.1:${admin}/healthz`).then(({ ok }) => ok, () => false);
    for (const end = Date.now() + 20_000; !(await runs()); await sleep(50)) assert(Date.now() < end, 'the core does not start');
    cores = `localhost:${api}`;
  });
  after(async () => {
    const exited = new Promise((resolve) => core.once('exit', resolve));
    core.kill('SIGKILL');
    await exited;
    certificates.remove();
  });

  test('a certificate with the role of the service registers', async () => {
    const tls = certificates.make('app:default');
    const service = new Service({ cores, tls });
    await service.start();
    await service.stop();
    const streams = new Streams(`https://${cores}`, { tls });
    assert.deepEqual(await streams.list(), []);
    streams.close();
  });

  test('a certificate of another role is refused', async () => {
    const service = new Service({ cores, name: 'chat', tls: certificates.make('app:other') });
    await assert.rejects(service.start(), /PERMISSION_DENIED: a certificate with the role minerva:app:other/);
  });

  test('without TLS the start fails with the remedy', async () => {
    await assert.rejects(new Service({ cores }).start(), /the core needs TLS, set `tls`/);
  });

  test('with another CA there is no connection, and a line says so', async () => {
    const other = new Certificates();
    const warn = mock.method(console, 'warn', () => {});
    const service = new Service({ cores, tls: other.make('app:default') });
    const started = service.start().then(() => assert.fail('registered'), () => {});
    const lines = () => warn.mock.calls.map(({ arguments: [line] }) => String(line)).join('\n');
    for (const end = Date.now() + 20_000; !lines().includes('of this CA'); await sleep(50)) assert(Date.now() < end, lines());
    await service.stop();
    await started;
    mock.restoreAll();
    other.remove();
  });
});

test('files and addresses of TLS are checked at the start', () => {
  const file = `${mkdtempSync(`${tmpdir()}/minerva-tls-`)}/a.pem`;
  const tls = { ca: file, cert: file, key: file };
  assert.throws(() => new Service({ tls }), (error) => error instanceof StartError && error.message.includes(file));
  writeFileSync(file, 'no PEM');
  assert.throws(() => new Service({ tls }), /neither a certificate nor a key/);
  assert.throws(() => new Service({ cores: 'https://core:7400' }), /needs files of TLS/);
  assert.throws(() => new Service({ cores: 'ftp://core' }), /https:\/\/HOST:PORT/);
  process.env['MINERVA_MTLS_CA'] = file;
  try {
    assert.throws(() => new Service(), /MINERVA_MTLS_CERT and MINERVA_MTLS_KEY: mutual TLS needs/);
  } finally {
    delete process.env['MINERVA_MTLS_CA'];
  }
});
