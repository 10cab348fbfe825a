/**
 * A stream machine and the model server in virtual time, over a network that delays, breaks and
 * swallows. Connections keep order; between connections there is none.
 */
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import type { Kind, Output } from '../src/stream/types.js';
import { ModelServer, type Wire } from './model_server.js';
import type { Random } from './random.js';

export const ID = 'abcdefghijklmnopqrstuvwxyz';
export const KINDS: readonly Kind[] = ['websocket', 'http-stream', 'long-poll'];

interface Connection {
  readonly tnum: number;
  readonly kind: Kind | 'upload';
  /** Broken: nothing passes any more, and the client may not have noticed. */
  broken: boolean;
  /** The client no longer listens. */
  closed: boolean;
  /** Times before which nothing may arrive: a connection keeps order. */
  toServer: number;
  toClient: number;
  /** What a long-poll has collected of its response. */
  response: string[];
  recv: ((frames: readonly string[]) => void) | undefined;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Simulation {
  now = 0;
  readonly server = new ModelServer();
  readonly client: StreamMachine;
  readonly delivered: string[] = [];
  readonly acked: number[] = [];
  readonly sent: string[] = [];
  /** One line per thing that happened: the same seed must give the same trace. */
  readonly trace: string[] = [];
  readonly kinds: (Kind | null)[] = [];
  end: string | null = null;
  /** The server takes connections. */
  up = true;
  #connections = new Map<number, Connection>();
  #events: Event[] = [];
  #order = 0;
  #created = false;

  constructor(
    readonly random: Random,
    kind: Kind,
    /** Longest delay of a message in ms. */
    readonly latency = 50,
  ) {
    this.client = new StreamMachine({ id: ID, kind, random: random.next });
    this.drain();
  }

  get stream() {
    return this.server.streams.get(ID);
  }

  send(text: string): void {
    this.sent.push(text);
    this.client.send(text);
    this.drain();
  }

  /** Breaks connections; the client hears of it, or not. */
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

  after(delay: number, run: () => void): void {
    this.#events.push({ at: this.now + delay, order: this.#order++, run });
  }

  /** Runs until `until` or until `done` says so. */
  run(until: number, done: () => boolean = () => false): void {
    for (let steps = 0; !done(); steps += 1) {
      assert(steps < 200_000, 'no end of events: a busy loop');
      const event = this.#events.reduce<Event | undefined>(
        (best, e) => (!best || e.at < best.at || (e.at === best.at && e.order < best.order) ? e : best),
        undefined,
      );
      const timeout = this.client.pollTimeout() ?? Infinity;
      const at = Math.min(event?.at ?? Infinity, Math.max(timeout, this.now));
      if (at > until) {
        this.now = until;
        return;
      }
      this.now = at;
      if (event && event.at === at) {
        this.#events.splice(this.#events.indexOf(event), 1);
        event.run();
      }
      this.drain();
    }
  }

  drain(): void {
    for (const output of this.client.drain(this.now)) {
      this.trace.push(`${Math.round(this.now)} ${JSON.stringify(output)}`);
      this.#execute(output);
    }
    const open = [...this.#connections.values()].map((c) => c.kind);
    assert(open.filter((kind) => kind === 'upload').length <= 1, 'two uploads');
    assert(open.length <= 3, `too many transports: ${open.join()}`);
  }

  #execute(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output.tnum, output.kind, output.frames);
      case 'write': {
        const connection = this.#connections.get(output.tnum);
        if (connection) this.#toServer(connection, () => connection.recv?.(output.frames));
        return;
      }
      case 'close': {
        const connection = this.#connections.get(output.tnum);
        if (connection) connection.closed = true;
        this.#connections.delete(output.tnum);
        return;
      }
      case 'deliver':
        this.delivered.push(output.text);
        return;
      case 'acked':
        this.acked.push(output.number);
        return;
      case 'transport':
        this.kinds.push(output.kind);
        return;
      case 'state':
        return;
      case 'end':
        this.end = output.reason;
    }
  }

  #open(tnum: number, kind: Kind | 'upload', frames: readonly string[]): void {
    assert(kind !== 'upload' || this.#created, 'an upload before the stream was created');
    const fresh = { broken: false, closed: false, toServer: this.now, toClient: this.now };
    const connection: Connection = { tnum, kind, ...fresh, response: [], recv: undefined };
    this.#connections.set(tnum, connection);
    if (!this.up) return this.break(connection, false);
    // A browser repeats a POST whose kept-alive connection died under it.
    if (kind !== 'websocket' && this.random.chance(0.03)) {
      const dead: Wire = { kind: 'http', write: () => {}, end: () => {}, after: () => {} };
      this.#toServer(connection, () => this.server.accept(dead, frames));
    }
    this.#toServer(connection, () => {
      connection.recv = this.server.accept(this.#wire(connection), frames);
    });
  }

  #toServer(connection: Connection, run: () => void): void {
    connection.toServer = Math.max(connection.toServer, this.now + this.random.below(this.latency));
    this.#events.push({
      at: connection.toServer,
      order: this.#order++,
      run: () => {
        if (!connection.broken && this.up) run();
      },
    });
  }

  #wire(connection: Connection): Wire {
    const later = (run: () => void): void => {
      connection.toClient = Math.max(connection.toClient, this.now + this.random.below(this.latency));
      this.#events.push({
        at: connection.toClient,
        order: this.#order++,
        run: () => {
          if (!connection.broken) run();
        },
      });
    };
    return {
      kind: connection.kind === 'websocket' ? 'websocket' : 'http',
      write: (frames) => {
        for (const piece of this.#pieces(frames)) later(() => this.#toClient(connection, piece));
      },
      end: () => later(() => this.#closed(connection, 'ended')),
      after: (ms, run) => this.after(ms, run),
    };
  }

  #pieces(frames: string[]): string[][] {
    if (frames.length < 2 || this.random.chance(0.7)) return [frames];
    const at = 1 + this.random.below(frames.length - 1);
    return [frames.slice(0, at), ...this.#pieces(frames.slice(at))];
  }

  #toClient(connection: Connection, frames: string[]): void {
    if (connection.closed) return;
    if (frames.includes('C')) this.#created = true;
    if (connection.kind === 'long-poll' || connection.kind === 'upload') connection.response.push(...frames);
    else this.client.recvFrames(connection.tnum, frames, this.now);
  }

  #closed(connection: Connection, ending: 'ended' | 'failed'): void {
    if (connection.closed) return;
    connection.closed = true;
    this.#connections.delete(connection.tnum);
    if (connection.response.length > 0) {
      this.client.recvFrames(connection.tnum, connection.response, this.now);
    }
    this.client.onClosed(connection.tnum, ending, this.now);
  }
}
