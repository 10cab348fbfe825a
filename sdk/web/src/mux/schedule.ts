/**
 * Schedule of the shared worker: carries the HTTP transports of all tabs over few requests. One request holds the HTTP
 * streams, one the long-polls, and one at a time carries uploads. A held request is opened again with all its channels
 * when a channel joins or leaves; the channels continue, because their hellos are sent again. Pure: the worker passes
 * `now` (ms), responses and the calls of tabs, and executes the outputs of `drain` in order.
 */
import { Lines } from '../framing.js';
import { toJson } from '../hello.js';
import { MAX_PAUSE } from '../stream/refusal.js';
import type { Mode, Part } from './format.js';

/** Kind of a channel: the kinds of HTTP transports. */
export type ChannelKind = 'http-stream' | 'long-poll' | 'upload';
/** Kinds whose requests are held by the server. */
const HELD_KINDS = ['http-stream', 'long-poll'] as const;

/** Time in ms for which a held request waits for further channels. */
export const GATHER_TIME = 25;
/** Least time in ms between two openings of a held request with channels, so that new tabs seldom disturb the others. */
export const MIN_HOLD_TIME = 600;
/** Age in ms from which an upload without a response no longer delays the next one. */
export const UPLOAD_STALL_TIME = 1_000;
/** Age in ms from which the failure of a held request is a cut, and its channels continue on another request. */
export const MIN_CUT_AGE = 3_000;
/** Most channels and characters of one request; servers accept 64 parts and 256 KiB. */
export const MAX_CHANNELS = 60;
export const MAX_CHARACTERS = 200_000;

/** Instruction for the worker. `request` identifies an HTTP request, `channel` a transport of a tab. */
export type MuxOutput =
  | { readonly do: 'fetch'; readonly request: number; readonly mode: Mode; readonly parts: readonly Part[] }
  | { readonly do: 'abort'; readonly request: number }
  | { readonly do: 'frames'; readonly channel: number; readonly frames: string[] }
  | { readonly do: 'end'; readonly channel: number; readonly status: number; readonly wait: number };

type Frames = Extract<MuxOutput, { readonly do: 'frames' }>;

interface Channel {
  readonly number: number;
  readonly kind: ChannelKind;
  readonly service: string;
  readonly openedAt: number;
  body: string;
  /** Stream id and transport number of the hello. */
  readonly id: string;
  readonly tnum: number;
  /** The hello was written. */
  sent: boolean;
  /** Frames have arrived. */
  answered: boolean;
  lines: Lines;
  request: Request | null;
}

interface Request {
  readonly number: number;
  readonly kind: ChannelKind;
  readonly openedAt: number;
  readonly channels: Set<Channel>;
  /** A channel has left; the server still serves its transport. */
  stale: boolean;
  /** The response has begun. */
  answered: boolean;
}

export class MuxSchedule {
  #channels = new Map<number, Channel>();
  #requests = new Map<number, Request>();
  #outputs: MuxOutput[] = [];
  #nextRequest = 0;
  /** Earliest time of the next opening of a held request, by kind. */
  #notBefore: Record<ChannelKind, number> = { 'http-stream': 0, 'long-poll': 0, upload: 0 };

  /** Opens a transport with the lines of its frames, the hello first. */
  open(number: number, kind: ChannelKind, service: string, body: string, now: number): void {
    const { id = '', tnum = 0 } = parseHello(body);
    const channel = { number, kind, service, openedAt: now, body, id, tnum, sent: false, answered: false };
    this.#channels.set(number, { ...channel, lines: new Lines(), request: null });
    this.#notBefore[kind] = Math.max(this.#notBefore[kind], now + GATHER_TIME);
  }

  /** Closes a transport; nothing more is reported for the channel. */
  close(number: number): void {
    const channel = this.#channels.get(number);
    if (channel) this.#remove(channel);
  }

  /** Handles bytes of a channel that arrived on a request. */
  onData(request: number, number: number, data: string): void {
    const channel = this.#find(request, number);
    if (!channel?.request) return;
    channel.request.answered = true;
    const frames = channel.lines.push(data);
    if (frames.length > 0) {
      channel.answered = true;
      // Frames that arrive together are reported together: if the last one ends the transport, a proxy held the first.
      const isOwn = (output: MuxOutput): output is Frames => output.do === 'frames' && output.channel === number;
      const pending = this.#outputs.find(isOwn);
      if (pending) pending.frames.push(...frames);
      else this.#outputs.push({ do: 'frames', channel: number, frames });
    }
    if (!channel.lines.corrupt) return;
    channel.request.stale = true;
    this.#end(channel, 0);
  }

  /** Handles the end of a channel that arrived on a request. */
  onChannelEnd(request: number, number: number, status: number, wait: number): void {
    const channel = this.#find(request, number);
    if (!channel?.request) return;
    channel.request.answered = true;
    this.#end(channel, status, wait);
  }

  /** Handles the end of a request with its HTTP status, 0 after a network failure. */
  onRequestEnd(number: number, status: number, wait: number, now: number): void {
    const request = this.#requests.get(number);
    if (!request) return;
    this.#requests.delete(number);
    const wasCut = status === 0 && now - request.openedAt >= MIN_CUT_AGE;
    for (const channel of request.channels) {
      channel.request = null;
      const polls = request.kind === 'long-poll' && (wasCut || (status === 200 && request.answered));
      const continues = polls || (request.kind === 'http-stream' && wasCut && channel.answered);
      // A response that ends before its channels was cut.
      if (!continues) this.#end(channel, status === 200 ? 0 : status, wait);
    }
    this.#notBefore[request.kind] = now + GATHER_TIME;
  }

  /** Opens due requests and returns the outputs, in order. Called after every input and at `timeout`. */
  drain(now: number): MuxOutput[] {
    for (const kind of HELD_KINDS) this.#drainHeld(kind, now);
    this.#drainUploads(now);
    return this.#outputs.splice(0);
  }

  /** Returns the time by which `drain` must be called; Infinity if only inputs require a call. */
  timeout(now: number): number {
    let next = Infinity;
    for (const kind of HELD_KINDS) if (this.#isDue(kind)) next = Math.min(next, this.#dueAt(kind));
    if (this.#pending('upload').length > 0) {
      const stalls = this.#requestsOf('upload').map(({ openedAt }) => openedAt + UPLOAD_STALL_TIME);
      next = Math.min(next, Math.max(now, ...stalls));
    }
    return next;
  }

  /** Number of open requests. */
  get requests(): number {
    return this.#requests.size;
  }

  // Held requests.

  #isDue(kind: ChannelKind): boolean {
    return this.#pending(kind).length > 0 || this.#requestsOf(kind).some((request) => request.stale);
  }

  #dueAt(kind: ChannelKind): number {
    const opened = this.#requestsOf(kind).map(({ openedAt }) => openedAt + MIN_HOLD_TIME);
    return Math.max(this.#notBefore[kind], ...opened);
  }

  /** Opens the held requests of a kind again with all channels, if one joined or left. */
  #drainHeld(kind: ChannelKind, now: number): void {
    for (const request of this.#requestsOf(kind)) if (request.channels.size === 0) this.#abort(request);
    if (!this.#isDue(kind) || now < this.#dueAt(kind)) return;
    for (const request of this.#requestsOf(kind)) this.#abort(request);
    const held = [...this.#channels.values()].filter((channel) => channel.kind !== 'upload');
    const newest = new Map<string, Channel>();
    for (const channel of held) if ((newest.get(channel.id)?.tnum ?? -1) < channel.tnum) newest.set(channel.id, channel);
    const own = held.filter((channel) => channel.kind === kind);
    // A former transport of a stream is about to end, and its hello must not take over from the newer one.
    for (const channel of own) if (channel.sent && newest.get(channel.id) !== channel) this.#end(channel, 200);
    const channels = own.filter((channel) => this.#channels.has(channel.number));
    for (const channel of channels) this.#refresh(channel, now);
    this.#openRequests(kind, channels, now);
  }

  /** Prepares a channel for another request: its hello continues the transport instead of creating a stream. */
  #refresh(channel: Channel, now: number): void {
    if (!channel.sent) return;
    channel.lines = new Lines();
    const hello = parseHello(channel.body);
    if (channel.answered) Object.assign(hello, { new: undefined, cred: undefined });
    if (hello.maxt !== undefined) hello.maxt = Math.max(1, Math.ceil(hello.maxt - (now - channel.openedAt) / 1000));
    const messages = channel.answered ? '' : channel.body.slice(channel.body.indexOf('\n') + 1);
    channel.body = `${toJson({ ...hello, eeds: null })}H\n${messages}`;
  }

  // Uploads.

  #drainUploads(now: number): void {
    const busy = this.#requestsOf('upload').some(({ openedAt }) => now < openedAt + UPLOAD_STALL_TIME);
    const pending = this.#pending('upload');
    if (busy || pending.length === 0) return;
    this.#openRequests('upload', pending.slice(0, MAX_CHANNELS), now, true);
  }

  // Requests.

  /** Opens requests with these channels within the limits; with `one`, the rest stays pending. */
  #openRequests(kind: ChannelKind, channels: readonly Channel[], now: number, one = false): void {
    let batch: Channel[] = [];
    let characters = 0;
    const open = (): void => {
      const request: Request = { number: this.#nextRequest++, kind, openedAt: now, channels: new Set(batch), stale: false, answered: false };
      this.#requests.set(request.number, request);
      for (const channel of batch) Object.assign(channel, { request, sent: true });
      const parts = batch.map(({ number, service, body }) => ({ channel: number, service, body }));
      this.#outputs.push({ do: 'fetch', request: request.number, mode: kind === 'long-poll' ? 'poll' : 'stream', parts });
    };
    for (const channel of channels) {
      const length = channel.body.length + 100;
      if (batch.length > 0 && (batch.length >= MAX_CHANNELS || characters + length > MAX_CHARACTERS)) {
        open();
        if (one) return;
        batch = [];
        characters = 0;
      }
      batch.push(channel);
      characters += length;
    }
    if (batch.length > 0) open();
  }

  #abort(request: Request): void {
    this.#outputs.push({ do: 'abort', request: request.number });
    this.#requests.delete(request.number);
    for (const channel of request.channels) channel.request = null;
  }

  #end(channel: Channel, status: number, wait = 0): void {
    // The server has ended the transport, so the request needs no refresh.
    channel.request?.channels.delete(channel);
    this.#channels.delete(channel.number);
    this.#outputs.push({ do: 'end', channel: channel.number, status, wait: Math.min(MAX_PAUSE / 1000, wait) });
  }

  #remove(channel: Channel): void {
    const { request } = channel;
    if (request) {
      request.channels.delete(channel);
      request.stale = true;
    }
    this.#channels.delete(channel.number);
  }

  #find(request: number, channel: number): Channel | undefined {
    const found = this.#channels.get(channel);
    return found?.request?.number === request ? found : undefined;
  }

  #pending(kind: ChannelKind): Channel[] {
    return [...this.#channels.values()].filter((channel) => channel.kind === kind && channel.request === null);
  }

  #requestsOf(kind: ChannelKind): Request[] {
    return [...this.#requests.values()].filter((request) => request.kind === kind);
  }
}

/** Keys of a hello that the schedule reads or changes. */
interface SentHello {
  id?: string;
  tnum?: number;
  new?: boolean | undefined;
  cred?: string | undefined;
  maxt?: number;
}

function parseHello(body: string): SentHello {
  const [line = ''] = body.split('\n', 1);
  return JSON.parse(line.slice(0, -1)) as SentHello;
}
