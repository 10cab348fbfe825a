// Starts an edge, a core on redb and an application service as processes that tests can kill and restart.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './minerva.mjs';

const TARGET = fileURLToPath(new URL('../../target/', import.meta.url));
/** Timeout in ms of a start; long enough for a debug build that recovers on a busy machine. */
const READY_MS = 30_000;

function program(name) {
  const dirs = process.env.MINERVA_BIN ? [dirname(process.env.MINERVA_BIN)] : [join(TARGET, 'release'), join(TARGET, 'debug')];
  const found = dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`no program ${name} in ${dirs.join(' or ')}: build it`);
  return found;
}

/** One process; `ready` matches its ready line. */
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
      const fail = (reason) => reject(new Error(`${this.name}: ${reason}:\n${this.output}`));
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

  /** Kills the process with SIGKILL and waits for the exit. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
}

/** The application service that sends every message back. */
const ECHO = { name: 'examples/echo', options: [] };

export class Deployment {
  /** Starts all processes; `app` is an example of the application SDK that serves `default`, `edgeOptions` and `moreCoreOptions` are more options. */
  static async start(app = ECHO, edgeOptions = [], moreCoreOptions = []) {
    const deployment = new Deployment();
    deployment.dir = mkdtempSync(join(tmpdir(), 'minerva-deployment-'));
    const ports = await Promise.all(Array.from({ length: 5 }, freePort));
    const [link, api, coreAdmin, listen, edgeAdmin] = ports.map((port) => `127.0.0.1:${port}`);
    deployment.port = ports[3];
    deployment.coreAdmin = coreAdmin;
    const coreOptions = ['--link', link, '--api', api, '--admin', coreAdmin, '--store', `redb:${deployment.dir}`, ...moreCoreOptions];
    deployment.core = new Process('minerva-core', coreOptions, /ready/);
    deployment.edge = new Process('minerva-edge', ['--listen', listen, '--core', link, '--admin', edgeAdmin, ...edgeOptions], /ready/);
    deployment.app = new Process(app.name, ['--api', `http://${api}`, ...app.options], /serving/);
    await deployment.core.run();
    await deployment.edge.run();
    await deployment.app.run();
    return deployment;
  }

  /** Value of a metric of the core, with labels as written on the page of metrics; 0 if absent. */
  async coreMetric(name) {
    const page = await (await fetch(`http://${this.coreAdmin}/metrics`)).text();
    const line = page.split('\n').find((line) => line.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  }

  async stop() {
    for (const each of [this.app, this.edge, this.core]) await each?.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
