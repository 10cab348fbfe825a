/**
 * Simulation of the stream machines of several tabs, the schedule of the shared worker and the model server, in virtual
 * time. The network delays and breaks requests; a proxy may buffer responses. WebSockets are refused.
 */
import assert from 'node:assert/strict';
import { joinLines } from '../src/framing.js';
import { encodeParts, ResponseParser } from '../src/mux/format.js';
import { MuxSchedule, type MuxOutput } from '../src/mux/schedule.js';
import { StreamMachine } from '../src/stream.js';
import { EventQueue } from './event_queue.js';
import { ModelServer, type Wire } from './model_server.js';
import type { Random } from './random.js';

/** One tab with its stream. */
export interface Tab {
  readonly id: string;
  readonly machine: StreamMachine;
  /** Channels by the key of the transport. */
  readonly channels: Map<number, number>;
  readonly sent: string[];
  readonly delivered: string[];
  acked: number;
  end: string | null;
}

interface Request {
  readonly number: number;
  readonly isPoll: boolean;
  /** Aborted, broken or complete. */
  closed: boolean;
  /** Channels without an end. */
  open: number;
  arrival: number;
  held: string;
  readonly parser: ResponseParser;
}

export class MuxSimulation {
  now = 0;
  buffering = false;
  readonly tabs: Tab[] = [];
  readonly server = new ModelServer();
  #schedule = new MuxSchedule();
  #requests = new Map<number, Request>();
  #owners = new Map<number, { tab: Tab; key: number }>();
  #events = new EventQueue();
  #made = 0;
  #channels = 0;

  constructor(
    readonly random: Random,
    readonly latency: number,
  ) {}

  openTab(): void {
    const id = `tab${String(this.#made++).padStart(20, '0')}`;
    const machine = new StreamMachine({ id, kind: 'auto', random: this.random.next });
    this.tabs.push({ id, machine, channels: new Map(), sent: [], delivered: [], acked: 0, end: null });
    this.#drain();
  }

  /** Closes a random tab, whose messages no longer count. */
  closeTab(): void {
    const [tab] = this.tabs.splice(this.random.below(this.tabs.length), 1);
    tab?.machine.leave(60_000);
    if (tab) this.#drainTab(tab);
    this.#drain();
  }

  send(tab: Tab): void {
    const text = `c${tab.sent.length}`;
    tab.sent.push(text);
    tab.machine.send(text);
    this.#drain();
  }

  /** Sends a message to the stream of a tab. */
  answer(tab: Tab): void {
    const stream = this.server.streams.get(tab.id);
    stream?.send(`s${stream.sent.length}`);
    this.#drain();
  }

  breakRequests(): void {
    for (const request of this.#requests.values()) this.#close(request, 0);
    this.#drain();
  }

  get isSettled(): boolean {
    return this.tabs.every((tab) => {
      const stream = this.server.streams.get(tab.id);
      const received = stream?.delivered.length === tab.sent.length && tab.acked === tab.sent.length;
      return received && tab.delivered.length === stream.sent.length && stream.isSettled;
    });
  }

  assertExactlyOnce(name: string): void {
    for (const tab of this.tabs) {
      const stream = this.server.streams.get(tab.id);
      assert(stream, `${name}: ${tab.id} has no stream`);
      assert.equal(tab.end, null, name);
      assert.deepEqual(stream.delivered, tab.sent, `${name}: client to server`);
      assert.deepEqual(tab.delivered, stream.sent, `${name}: server to client`);
    }
    assert(this.isSettled, `${name}: not settled`);
    assert(this.server.created <= this.#made, `${name}: a stream was created twice`);
  }

  run(until: number, done: () => boolean = () => false): void {
    for (let steps = 0; !done(); steps += 1) {
      assert(steps < 100_000, 'endless events: a busy loop');
      const timeouts = this.tabs.map((tab) => tab.machine.pollTimeout() ?? Infinity);
      const timeout = Math.max(this.now, Math.min(...timeouts, this.#schedule.timeout(this.now)));
      const { nextAt } = this.#events;
      const at = Math.min(nextAt, timeout);
      if (at > until) {
        this.now = until;
        return;
      }
      this.now = at;
      if (nextAt === at) this.#events.runNext();
      this.#drain();
    }
  }

  #after(delay: number, run: () => void): void {
    this.#events.push(this.now + delay, run);
  }

  #drain(): void {
    for (let outputs = [] as MuxOutput[], first = true; first || outputs.length > 0; first = false) {
      for (const tab of this.tabs) this.#drainTab(tab);
      outputs = this.#schedule.drain(this.now);
      for (const output of outputs) this.#execute(output);
    }
    const held = [...this.#requests.values()];
    assert(held.length <= 5, `${held.length} requests`);
  }

  #drainTab(tab: Tab): void {
    for (const output of tab.machine.drain(this.now)) {
      if (output.do === 'open') this.#openTransport(tab, output.key, output.kind, output.frames.map(String));
      else if (output.do === 'close') {
        const channel = tab.channels.get(output.key);
        tab.channels.delete(output.key);
        if (channel === undefined) continue;
        this.#owners.delete(channel);
        this.#schedule.close(channel);
      } else if (output.do === 'deliver') tab.delivered.push(String(output.message));
      else if (output.do === 'acked') tab.acked += 1;
      else if (output.do === 'end') tab.end = output.end.reason;
    }
  }

  #openTransport(tab: Tab, key: number, kind: string, frames: readonly string[]): void {
    if (kind === 'websocket') return this.#after(5, () => tab.machine.onClosed(key, 'failed', this.now));
    const channel = this.#channels++;
    tab.channels.set(key, channel);
    this.#owners.set(channel, { tab, key });
    this.#schedule.open(channel, kind as 'upload', '', joinLines(frames), this.now);
  }

  #execute(output: MuxOutput): void {
    if (output.do === 'fetch') return this.#fetch(output);
    if (output.do === 'abort') {
      const request = this.#requests.get(output.request);
      if (request) request.closed = true;
      this.#requests.delete(output.request);
      return;
    }
    const owner = this.#owners.get(output.channel);
    assert(owner, `an output for the closed channel ${output.channel}`);
    const { tab, key } = owner;
    if (output.do === 'frames') return tab.machine.recvFrames(key, output.frames, this.now);
    this.#owners.delete(output.channel);
    tab.channels.delete(key);
    tab.machine.onClosed(key, output.status === 200 ? 'ended' : 'failed', this.now);
  }

  #fetch({ request: number, mode, parts }: Extract<MuxOutput, { do: 'fetch' }>): void {
    assert(encodeParts(mode, parts).length < 256 * 1024);
    const parser = new ResponseParser();
    const request: Request = { number, isPoll: mode === 'poll', closed: false, open: parts.length, arrival: 0, held: '', parser };
    this.#requests.set(number, request);
    this.#after(this.random.below(this.latency), () => {
      // A request that the client aborts may reach the server nevertheless.
      if (request.closed && this.random.chance(0.5)) return;
      for (const { channel, body } of parts) this.server.accept(this.#wire(request, channel, body), body.slice(0, -1).split('\n'));
    });
  }

  #wire(request: Request, channel: number, body: string): Wire {
    let gathered = '';
    const isStream = body.includes('"ming":true');
    return {
      kind: 'http',
      write: (frames) => {
        const text = joinLines(frames.map(String));
        if (isStream) this.#respond(request, `${channel} ${text.length}\n${text}`);
        else gathered += text;
      },
      end: () => {
        if (gathered) this.#respond(request, `${channel} ${gathered.length}\n${gathered}`);
        this.#respond(request, `${channel} end 200 0\n`);
        request.open -= 1;
        if (request.open === 0 || request.isPoll) this.#after(20, () => this.#respond(request, null));
      },
      after: (ms, run) => this.#after(ms, run),
    };
  }

  /** Passes text to the client, in order and in random pieces; null ends the response. */
  #respond(request: Request, text: string | null): void {
    if (text !== null && this.buffering) {
      request.held += text;
      return;
    }
    request.arrival = Math.max(request.arrival, this.now + this.random.below(this.latency));
    const piece = request.held + (text ?? '');
    request.held = '';
    this.#after(request.arrival - this.now, () => {
      if (request.closed) return;
      const cut = this.random.below(piece.length + 1);
      for (const part of [piece.slice(0, cut), piece.slice(cut)]) {
        for (const event of request.parser.push(part)) {
          if ('data' in event) this.#schedule.onData(request.number, event.channel, event.data);
          else this.#schedule.onChannelEnd(request.number, event.channel, event.status, event.wait);
        }
      }
      assert(!request.parser.corrupt);
      if (text === null) this.#close(request, 200);
    });
  }

  #close(request: Request, status: number): void {
    if (request.closed) return;
    request.closed = true;
    this.#requests.delete(request.number);
    this.#schedule.onRequestEnd(request.number, status, 0, this.now);
  }
}
