/**
 * Simulation of a stream machine and the model server in virtual time, over a network with delays, cuts and proxy
 * faults. Each connection keeps order; connections are independent of each other.
 */
import assert from 'node:assert/strict';
import type { OutFrame } from '../src/frames.js';
import { decodeFrame3, encodeOut, FrameSplitter, type Frame3 } from '../src/frames3.js';
import type { Message } from '../src/message.js';
import { StreamMachine } from '../src/stream.js';
import { NO_VERSION_3 } from '../src/stream/refusal.js';
import type { End, Kind, Output, State, StreamOptions, Version } from '../src/stream/types.js';
import { EventQueue } from './event_queue.js';
import { isReset, ModelServer, type Wire } from './model_server.js';
import type { Random } from './random.js';

export const ID = 'abcdefghijklmnopqrstuvwxyz';
export const KINDS: readonly Kind[] = ['websocket', 'http-stream', 'long-poll'];

/** Returns whether all messages are delivered and acknowledged in both directions. */
export function settled(sim: Simulation): boolean {
  return (
    sim.stream !== undefined &&
    sim.stream.delivered.length === sim.sent.length &&
    sim.delivered.length === sim.stream.sent.length &&
    sim.acked.length === sim.sent.length &&
    sim.stream.isSettled
  );
}

/** Asserts the guarantee of a stream: every message exactly once and in order, in both directions. */
export function assertExactlyOnce(sim: Simulation, name: string): void {
  assert(sim.stream, `${name}: the stream is gone`);
  assert.equal(sim.end, null, name);
  assert.equal(sim.server.created, 1, name);
  assert.deepEqual(sim.stream.delivered, sim.sent, `${name}: client to server`);
  assert.deepEqual(sim.delivered, sim.stream.sent, `${name}: server to client`);
  assert.deepEqual([...sim.acked].sort((a, b) => a - b), sim.sent.map((_, i) => i), `${name}: acknowledged`);
  assert(settled(sim), `${name}: not settled`);
}

type InFrame = string | Frame3;

interface Connection {
  readonly key: number;
  readonly kind: Kind | 'upload';
  /** Nothing passes; the client may not have noticed. */
  broken: boolean;
  /** A proxy discards frames of the client. */
  muted: boolean;
  /** The client has closed the connection. */
  closed: boolean;
  /** The client has written a reset. */
  reset: boolean;
  /** Writes of the client, and the time of the last frames in either direction. */
  writes: number;
  activeAt: number;
  /** Earliest arrival times of the next frames, which keep the order. */
  toServer: number;
  toClient: number;
  /** Frames of a buffered response. */
  response: InFrame[];
  recv: ((frames: readonly OutFrame[]) => void) | undefined;
  /** Version of the hello, or selected by the server. */
  version: Version;
}

/** A connection without a client behind it. */
const DEAD: Wire = { kind: 'http', write: () => {}, end: () => {}, after: () => {} };

/** One simulated client and server. */
export class Simulation {
  now = 0;
  readonly server = new ModelServer();
  readonly client: StreamMachine;
  readonly delivered: Message[] = [];
  readonly acked: number[] = [];
  readonly sent: Message[] = [];
  /** One line per output of the machine; the same seed must give the same trace. */
  readonly trace: string[] = [];
  traced = true;
  /** Largest number of HTTP connections open at the same time. */
  mostHttp = 0;
  readonly kinds: (Kind | null)[] = [];
  readonly states: State[] = [];
  end: string | null = null;
  ended: End | null = null;
  /** The server accepts connections. */
  up = true;
  /** Kinds that a proxy refuses, and the age in ms at which a proxy cuts connections of a kind. */
  readonly refused = new Set<Kind | 'upload'>();
  readonly cutAfter = new Map<Kind | 'upload', number>();
  /** WebSockets never open (`hung`), or open and pass nothing (`mute`). */
  hung = false;
  mute = false;
  /** A proxy buffers responses until their end. */
  buffering = false;
  /** Writes of the client that a proxy passes on each WebSocket. */
  deaf = Infinity;
  /** Silence in ms after which a proxy cuts connections. */
  idleCut = Infinity;
  /** Times of the deliveries, and of the acknowledgements by message number. */
  readonly deliveredAt: number[] = [];
  readonly ackedAt: number[] = [];
  /** The network loses data in flight to the server on connections that the client closes. */
  dropsClosed = false;
  #connections = new Map<number, Connection>();
  #events = new EventQueue();
  #created = false;

  constructor(
    readonly random: Random,
    kind: Kind | 'auto',
    /** Longest delay of the network in ms. */
    readonly latency = 50,
    options: Partial<StreamOptions> = {},
    /** Installs proxy faults before the first connection. */
    installFaults: (sim: Simulation) => void = () => {},
  ) {
    installFaults(this);
    this.client = new StreamMachine({ id: ID, kind, random: random.next, ...options });
    this.drain();
  }

  get stream() {
    return this.server.streams.get(ID);
  }

  send(message: Message): void {
    this.sent.push(message);
    this.client.send(message);
    this.drain();
  }

  reset(reason: string): void {
    this.client.reset(reason, this.now);
    this.drain();
  }

  /** Unloads the page, which may return. The final upload arrives, or the network loses it. */
  leave(): void {
    const frames = this.client.leave(60_000);
    this.drain();
    if (!frames) return;
    checkReset({ reset: false }, frames);
    if (this.server.maxVersion < (this.client.version || 3)) return;
    const isLost = this.random.chance(0.3);
    // An upload with `new` is not overtaken: no later hello can know that the stream may still be created.
    const delay = String(frames[0]).includes('"new":true') ? 0 : this.random.below(this.latency);
    this.after(delay, () => {
      if (this.up && !isLost) this.server.accept(DEAD, frames);
    });
  }

  /** Breaks all connections; unless `silently`, the client is notified. */
  breakAll(silently: boolean): void {
    for (const connection of this.#connections.values()) this.break(connection, silently);
  }

  breakOne(silently: boolean): void {
    const all = [...this.#connections.values()];
    const one = all[this.random.below(all.length)];
    if (one) this.break(one, silently);
  }

  break(connection: Connection, silently: boolean): void {
    if (connection.broken) return;
    connection.broken = true;
    if (silently) return;
    this.after(this.random.below(this.latency), () => this.#closed(connection, 'failed'));
  }

  /** Removes all proxy faults. */
  clear(): void {
    this.hung = this.mute = this.buffering = false;
    this.deaf = this.idleCut = Infinity;
    this.refused.clear();
    this.cutAfter.clear();
  }

  after(delay: number, run: () => void): void {
    this.#events.push(this.now + delay, run);
  }

  /** Runs until the time `until`, or until `done` returns true. */
  run(until: number, done: () => boolean = () => false): void {
    for (let steps = 0; !done(); steps += 1) {
      assert(steps < 200_000, 'endless events: a busy loop');
      const { nextAt } = this.#events;
      const timeout = this.client.pollTimeout() ?? Infinity;
      const at = Math.min(nextAt, Math.max(timeout, this.now));
      if (at > until) {
        this.now = until;
        return;
      }
      this.now = at;
      if (nextAt === at) this.#events.runNext();
      this.drain();
    }
  }

  drain(): void {
    for (const output of this.client.drain(this.now)) {
      if (this.traced) this.trace.push(`${Math.round(this.now)} ${JSON.stringify(output)}`);
      this.#execute(output);
    }
    const open = [...this.#connections.values()].map((c) => c.kind);
    assert(open.filter((kind) => kind === 'upload').length <= 1, 'two uploads');
    const http = open.filter((kind) => kind !== 'websocket');
    this.mostHttp = Math.max(this.mostHttp, http.length);
    assert(http.length <= 3, `too many HTTP connections: ${http.join()}`);
    assert(open.length <= 4, `too many transports: ${open.join()}`);
  }

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output);
      case 'write': {
        const connection = this.#connections.get(output.key);
        if (!connection) return;
        checkReset(connection, output.frames);
        return this.#toServer(connection, () => this.#recv(connection, output.frames));
      }
      case 'close': {
        const connection = this.#connections.get(output.key);
        if (connection) connection.closed = true;
        this.#connections.delete(output.key);
        return;
      }
      case 'deliver':
        assert.equal(output.number, this.delivered.length);
        this.delivered.push(output.message);
        this.deliveredAt.push(this.now);
        return;
      case 'acked':
        this.acked.push(output.number);
        this.ackedAt[output.number] = this.now;
        return;
      case 'transport':
        this.kinds.push(output.kind);
        return;
      case 'state':
        this.states.push(output.state);
        return;
      case 'end':
        assert.equal(this.ended, null, 'a second end');
        this.ended = output.end;
        this.end = output.end.reason;
    }
  }

  #open({ key, kind, frames, versions }: Output & { readonly do: 'open' }): void {
    assert(kind !== 'upload' || this.#created, 'an upload before the stream was created');
    const fresh = { broken: false, muted: false, closed: false, reset: false, toServer: this.now, toClient: this.now };
    const counts = { writes: 0, activeAt: this.now };
    const [version] = versions;
    const connection: Connection = { key, kind, ...fresh, ...counts, response: [], recv: undefined, version };
    this.#connections.set(key, connection);
    checkReset(connection, frames);
    if (!this.up || this.refused.has(kind)) return this.break(connection, false);
    const life = this.cutAfter.get(kind);
    if (life !== undefined) this.after(life, () => this.break(connection, false));
    if (kind === 'websocket') {
      const opened = (): void => {
        connection.version = this.server.maxVersion === 3 && versions.includes(3) ? 3 : 2;
        this.client.onOpened(key, this.now, connection.version);
      };
      if (!this.hung) this.#toServer(connection, () => this.#later(connection, opened));
      return;
    }
    if (version > this.server.maxVersion) {
      const refuse = (): void => {
        if (connection.closed) return;
        connection.closed = true;
        this.#connections.delete(key);
        this.client.onClosed(key, 'failed', this.now, NO_VERSION_3);
      };
      return this.#toServer(connection, () => this.#later(connection, refuse));
    }
    // Browsers repeat a POST whose kept-alive connection broke.
    if (this.random.chance(0.03)) {
      this.#toServer(connection, () => this.server.accept(DEAD, frames));
    }
    this.#toServer(connection, () => this.#recv(connection, frames));
  }

  /** Delivers frames to the server. */
  #recv(connection: Connection, frames: readonly OutFrame[]): void {
    const isDeaf = this.mute || (connection.writes += 1) > this.deaf;
    connection.muted ||= isDeaf && connection.kind === 'websocket';
    this.#touch(connection);
    if (connection.muted) return;
    assert(frames.every((frame) => typeof frame === 'string') || connection.version === 3, 'binary in version 2');
    if (connection.recv) connection.recv(frames);
    else connection.recv = this.server.accept(this.#wire(connection), frames) ?? (() => {});
  }

  #toServer(connection: Connection, run: () => void): void {
    connection.toServer = Math.max(connection.toServer, this.now + this.random.below(this.latency));
    this.#events.push(connection.toServer, () => {
      const isLost = connection.broken || (this.dropsClosed && connection.closed);
      if (!isLost && this.up) run();
    });
  }

  #later(connection: Connection, run: () => void): void {
    connection.toClient = Math.max(connection.toClient, this.now + this.random.below(this.latency));
    this.#events.push(connection.toClient, () => {
      if (!connection.broken) run();
    });
  }

  #wire(connection: Connection): Wire {
    const later = (run: () => void): void => this.#later(connection, run);
    return {
      kind: connection.kind === 'websocket' ? 'websocket' : 'http',
      write: (frames) => {
        for (const piece of this.#pieces(connection.version === 3 ? received(frames) : frames.map(String))) later(() => this.#toClient(connection, piece));
      },
      end: () => later(() => this.#closed(connection, 'ended')),
      after: (ms, run) => this.after(ms, run),
    };
  }

  #pieces(frames: InFrame[]): InFrame[][] {
    if (frames.length < 2 || this.random.chance(0.7)) return [frames];
    const at = 1 + this.random.below(frames.length - 1);
    return [frames.slice(0, at), ...this.#pieces(frames.slice(at))];
  }

  /** Restarts the idle timeout of the proxy. */
  #touch(connection: Connection): void {
    connection.activeAt = this.now;
    const { idleCut } = this;
    if (idleCut === Infinity) return;
    this.after(idleCut, () => {
      if (!connection.closed && this.now >= connection.activeAt + idleCut) this.break(connection, false);
    });
  }

  #toClient(connection: Connection, frames: InFrame[]): void {
    if (connection.closed) return;
    this.#touch(connection);
    this.#created ||= frames.some((frame) => frame === 'C' || (typeof frame === 'object' && frame.type === 'welcome'));
    const isBuffered = connection.kind !== 'http-stream' || this.buffering || connection.response.length > 0;
    if (connection.kind !== 'websocket' && isBuffered) connection.response.push(...frames);
    else this.client.recvFrames(connection.key, frames, this.now);
  }

  #closed(connection: Connection, outcome: 'ended' | 'failed'): void {
    if (connection.closed) return;
    connection.closed = true;
    this.#connections.delete(connection.key);
    // The browser reads the buffered response of an HTTP stream in several pieces.
    const isStream = connection.kind === 'http-stream';
    const pieces = isStream ? connection.response.map((frame) => [frame]) : [connection.response];
    for (const piece of pieces) if (piece.length > 0) this.client.recvFrames(connection.key, piece, this.now);
    this.client.onClosed(connection.key, outcome, this.now);
  }
}

/** Asserts that no message follows a reset, and that a hello with a reset behind it does not create the stream. */
function checkReset(connection: { reset: boolean }, frames: readonly OutFrame[]): void {
  for (const frame of frames) {
    assert(!connection.reset || /[AL]$/.test(String(frame)), `${frame} behind a reset`);
    connection.reset ||= isReset(frame);
  }
  const first = String(frames[0] ?? '');
  const creates = first.endsWith('H') && first.includes('"new":true');
  assert(!creates || !connection.reset, 'a hello with `new` and a reset');
}

/** Returns frames of the server as a client of version 3 receives them. */
export function received(frames: readonly OutFrame[]): Frame3[] {
  const splitter = new FrameSplitter();
  return frames.flatMap((frame) => splitter.push(encodeOut(frame))).map((raw) => {
    const frame = decodeFrame3(raw);
    assert(typeof frame === 'object', `${String(frame)}: ${raw.kind}`);
    return frame;
  });
}
