// Runs the example `agent` of the application SDK on a port of `minerva`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BIN = process.env.MINERVA_BIN ?? fileURLToPath(new URL('../../target/release/minerva', import.meta.url));
const PROGRAM = join(dirname(BIN), 'examples/agent');

export class Agent {
  #api;
  #dir = mkdtempSync(join(tmpdir(), 'minerva-agent-'));
  #child;
  output = '';

  static async start(api) {
    if (!existsSync(PROGRAM)) throw new Error(`no program at ${PROGRAM}: cargo build --release -p minerva-app --examples`);
    const agent = new Agent();
    agent.#api = api;
    await agent.run();
    return agent;
  }

  /** Starts the program, or starts it again with the same database. */
  async run() {
    const child = spawn(PROGRAM, ['--api', this.#api, '--database', join(this.#dir, 'agent.sqlite')], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stderr.on('data', (data) => (this.output += data));
    await new Promise((resolve, reject) => {
      child.stdout.on('data', (data) => `${data}`.includes('serving') && resolve());
      child.on('exit', (code, signal) => reject(new Error(`agent ended (${code ?? signal}): ${this.output}`)));
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

  async stop() {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
