// A running `minerva`, and a client of version 2 over TCP (docs/protocol.md, sections 2 and 3).
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The program `minerva`; the others are beside it. */
export const BIN = `${process.env['MINERVA_BIN'] ?? fileURLToPath(new URL('../../../../target/release', import.meta.url))}/minerva`;

/** The reason to skip tests with a running `minerva`, or false. */
export const skip = existsSync(BIN) ? false : `${BIN} is missing: cargo build --release`;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

export class MinervaProcess {
  private constructor(readonly listen: number, readonly cores: string, private readonly child: ChildProcess, private readonly data: string) {}

  static async start(): Promise<MinervaProcess> {
    const [listen, api, admin] = [await freePort(), await freePort(), await freePort()];
    const data = mkdtempSync(`${tmpdir()}/minerva-`);
    const ports = [`--listen=127.0.0.1:${listen}`, `--api=127.0.0.1:${api}`, `--admin=127.0.0.1:${admin}`];
    const child = spawn(BIN, [...ports, '--demo=off', '--app-grace=1s', `--data-dir=${data}`], { stdio: 'ignore' });
    const isReady = () => fetch(`http://127.0.0.1:${admin}/readyz`).then(({ ok }) => ok, () => false);
    for (const end = Date.now() + 20_000; !(await isReady()); await sleep(50)) assert(Date.now() < end, 'minerva is not ready');
    return new MinervaProcess(listen, `127.0.0.1:${api}`, child, data);
  }

  async kill(): Promise<void> {
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** A client over one TCP transport, which acknowledges nothing. */
export class Client {
  private received = Buffer.alloc(0);
  private readonly frames: string[] = [];
  private sent = 0;
  private wake = () => {};

  constructor(port: number, hello: object = {}) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (bytes: Buffer) => this.onData(bytes));
    this.socket.write('<int32/>\n');
    const keys = { ver: 2, tnum: 0, id: randomBytes(13).toString('hex'), new: true, ming: true, maxia: 10 };
    this.frame(`${JSON.stringify({ ...keys, eeds: null, seenack: '|-1', ...hello })}H`);
  }

  private readonly socket: Socket;

  send(text: string): void {
    if (this.sent++ === 0) this.frame('0N');
    this.frame(`${text} `);
  }

  /** The next message, or the frame that ends the stream. */
  async recv(): Promise<string> {
    const end = Date.now() + 10_000;
    for (;;) {
      const frame = this.frames.shift();
      if (frame?.endsWith(' ')) return frame.slice(0, -1);
      if (frame?.endsWith('!')) return frame;
      if (frame !== undefined) continue;
      assert(Date.now() < end, 'no message in time');
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, 1000).unref();
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private onData(bytes: Buffer): void {
    this.received = Buffer.concat([this.received, bytes]);
    while (this.received.length >= 4 && this.received.length >= 4 + this.received.readUInt32BE()) {
      const end = 4 + this.received.readUInt32BE();
      this.frames.push(this.received.toString('latin1', 4, end));
      this.received = this.received.subarray(end);
    }
    this.wake();
  }

  private frame(frame: string): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    this.socket.write(Buffer.concat([length, Buffer.from(frame)]));
  }
}
