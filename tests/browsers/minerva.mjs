// Runs the built program `minerva` on free ports with a temporary data directory.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TARGET = fileURLToPath(new URL('../../target/', import.meta.url));
/** Timeout in ms of a start; long enough for a debug build that recovers on a busy machine. */
const READY_MS = 30_000;

function program() {
  const configured = process.env.MINERVA_BIN;
  const candidates = configured ? [configured] : [join(TARGET, 'release/minerva'), join(TARGET, 'debug/minerva')];
  const found = candidates.find((path) => existsSync(path));
  if (!found) throw new Error(`no program at ${candidates.join(' or ')}: build it or set MINERVA_BIN`);
  return found;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export class Minerva {
  #options;
  #more;
  #dir;
  #child;
  /** Address of the application API. */
  get api() {
    return `127.0.0.1:${this.#options.api}`;
  }

  /** URL of the demo page, from the ready line. */
  url = '';
  /** Output of the program, for error messages. */
  output = '';

  /** Starts the program with more options. */
  static async start(...more) {
    const minerva = new Minerva();
    minerva.#more = more;
    minerva.#dir = mkdtempSync(join(tmpdir(), 'minerva-browsers-'));
    const [listen, api, admin] = await Promise.all([freePort(), freePort(), freePort()]);
    minerva.#options = { listen, api, admin };
    await minerva.run();
    return minerva;
  }

  /** Starts the program, or restarts it with the same ports and data. */
  async run() {
    const { listen, api, admin } = this.#options;
    const child = spawn(program(), [
      '--listen', `127.0.0.1:${listen}`,
      '--api', `127.0.0.1:${api}`,
      '--admin', `127.0.0.1:${admin}`,
      '--data-dir', join(this.#dir, 'data'),
      '--demo', 'on',
      ...this.#more,
    ], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let stdout = '';
    child.stderr.on('data', (data) => (this.output += data));
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ready line:\n${this.output}`)), READY_MS);
      child.stdout.on('data', (data) => {
        stdout += data;
        this.output += data;
        const ready = /ready.*?(http:\/\/\S+)/.exec(stdout);
        if (!ready) return;
        this.url = ready[1];
        clearTimeout(timer);
        resolve();
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => reject(new Error(`ended (${code ?? signal}):\n${this.output}`)));
    });
  }

  /** Kills the program with SIGKILL and waits for the exit. */
  async kill() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  /** Deletes the state of all streams; call only while the program is stopped. */
  deleteState() {
    rmSync(join(this.#dir, 'data'), { recursive: true, force: true });
  }

  async stop() {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
