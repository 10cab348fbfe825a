// An edge, a core on redb and the echo service as processes, each of which can be killed and started again.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './minerva.mjs';

const TARGET = fileURLToPath(new URL('../../target/', import.meta.url));
/** A debug build on a busy machine, recovering its state. */
const READY_MS = 30_000;

function program(name) {
  const dirs = process.env.MINERVA_BIN ? [dirname(process.env.MINERVA_BIN)] : [join(TARGET, 'release'), join(TARGET, 'debug')];
  const found = dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`no program ${name} in ${dirs.join(' or ')}: build it`);
  return found;
}

class Process {
  output = '';
  #child;

  constructor(name, options, ready) {
    Object.assign(this, { name, options, ready });
  }

  async run() {
    const child = spawn(program(this.name), this.options, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let stdout = '';
    child.stderr.on('data', (data) => (this.output += data));
    await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`${this.name}: ${why}:\n${this.output}`));
      const timer = setTimeout(() => fail('no ready line'), READY_MS);
      child.stdout.on('data', (data) => {
        stdout += data;
        if (!this.ready.test(stdout)) return;
        clearTimeout(timer);
        resolve();
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => fail(`ended (${code ?? signal})`));
    });
  }

  /** As a crash: no goodbye. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
}

export class Pair {
  static async start() {
    const pair = new Pair();
    pair.dir = mkdtempSync(join(tmpdir(), 'minerva-pair-'));
    const ports = await Promise.all(Array.from({ length: 5 }, freePort));
    const [link, api, coreAdmin, listen, edgeAdmin] = ports.map((port) => `127.0.0.1:${port}`);
    pair.port = ports[3];
    pair.core = new Process('minerva-core', ['--link', link, '--api', api, '--admin', coreAdmin, '--store', `redb:${pair.dir}`], /ready/);
    pair.edge = new Process('minerva-edge', ['--listen', listen, '--core', link, '--admin', edgeAdmin], /ready/);
    pair.app = new Process('examples/echo', ['--api', `http://${api}`], /serving/);
    await pair.core.run();
    await pair.edge.run();
    await pair.app.run();
    return pair;
  }

  async stop() {
    for (const each of [this.app, this.edge, this.core]) await each?.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
