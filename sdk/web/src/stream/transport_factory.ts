/**
 * Creates transport records and encodes their hellos; assigns keys and transport numbers. Opens no connections. Used by
 * the stream machine.
 */
import { toJson, type Hello } from '../hello.js';
import type { ReliableChannel } from './reliable_channel.js';
import { TRANSPORTS_PER_GENERATION, type SessionStart } from './session_start.js';
import type { Kind, StreamOptions, Transport, Version } from './types.js';

/** Longest time in ms from a hello to the first response. */
export const REQUEST_TIMEOUT = 15_000;
/** Longest time in ms for opening a WebSocket. */
const CONNECT_DEADLINE = 10_000;
/** Length of a claim tag in characters. */
export const TAG_LENGTH = 16;
/** Heartbeat interval in seconds that a hidden page can keep: browsers run its timers once a minute. */
const HIDDEN_PAGE_INTERVAL = 60;

/** Times that the policy has learned: the longest poll in s, and the heartbeat interval in ms. */
interface HelloTimes {
  readonly maxPollTime: number;
  readonly heartbeat: number;
}

export class TransportFactory {
  /** Transports created and hellos encoded so far. */
  transportsMade = 0;
  hellosSent = 0;
  /** Hellos that the server refused without a stream. */
  hellosRefused = 0;
  /** Version of the next hello, and whether version 2 may replace version 3: until the server accepts either one. */
  version: Version;
  mayFallBack: boolean;
  /** Creation of the stream, `STREAM.TAG`, from the welcome of version 3. */
  born: string | undefined;
  /** Credentials of hellos until the server has accepted the stream. */
  cred: string | undefined;
  /** Generation that the server has not accepted yet; absent otherwise. */
  adopting: SessionStart | undefined;

  constructor(
    readonly channel: ReliableChannel,
    readonly options: StreamOptions,
    /** Heartbeat interval of the server in seconds. */
    readonly heartbeat: number,
  ) {
    this.adopting = options.session;
    this.cred = options.cred;
    this.born = this.adopting?.born;
    this.mayFallBack = VERSION_3 && options.version === 'auto';
    this.version = VERSION_3 && (options.version === 3 || this.mayFallBack) ? 3 : 2;
  }

  /** Versions that the next transport offers: version 2 too, because a refused handshake would hide the reason. */
  get versions(): [Version, ...Version[]] {
    return VERSION_3 && this.version === 3 ? [3, 2] : [2];
  }

  /** Creates the record of a transport to be opened at `now`. */
  transport(kind: Kind | 'upload', why: string, now: number): Transport {
    const deadline = now + (kind === 'websocket' ? CONNECT_DEADLINE : REQUEST_TIMEOUT);
    return {
      key: this.transportsMade++,
      kind,
      why,
      number: -1,
      openedAt: now,
      lastReceivedAt: now,
      deadline,
      sackDueAt: Infinity,
      nextOut: 0,
      nextIn: 0,
      tag: '',
      tags: [],
      sacks: 0,
      replaceReason: '',
      opened: false,
      attached: false,
      suspect: false,
      closing: false,
      progress: false,
      hasSent: false,
      mayCreate: false,
      lateAt: Infinity,
      resetSent: false,
      asksReason: false,
      probing: false,
    };
  }

  /** Assigns the transport number and encodes the hello. A long-poll that follows a working one is attached already. */
  hello(transport: Transport, predecessor: Transport | null, { maxPollTime, heartbeat }: HelloTimes): string {
    const { channel, options, version, born, adopting, cred } = this;
    const { id, session } = options;
    const gen = session?.generation;
    transport.number = (gen ?? 0) * TRANSPORTS_PER_GENERATION + this.hellosSent++;
    const { created, receiver } = channel;
    // A hello with a reset behind it must not create a second stream.
    transport.mayCreate = !created && !channel.resetting && !session;
    const isUpload = transport.kind === 'upload';
    const isPoll = transport.kind === 'long-poll';
    const hello: Hello = {
      ver: version,
      tnum: transport.number,
      id,
      new: transport.mayCreate || undefined,
      cred: created ? undefined : cred,
      ming: !isUpload && !isPoll,
      // With heartbeats, the server responds to an unproven long-poll at once, unless with a StreamCreated frame.
      maxia: isUpload || (isPoll && (transport.attached || !created)) ? 0 : heartbeat / 1000,
      // Used on WebSockets only.
      beat: Math.max(this.heartbeat, HIDDEN_PAGE_INTERVAL),
      maxt: isPoll ? maxPollTime : undefined,
      // Without the stored state the server repeats its SACK.
      seenack: adopting ? '|-1' : channel.seenAck,
      // The SACK of a probe may be lost.
      sack: transport.probing || adopting ? undefined : receiver.takeSack(),
      eeds: isUpload || transport.probing ? undefined : (predecessor?.number ?? null),
      why: transport.why,
    };
    if (VERSION_3 && version === 3) {
      const tags = receiver.takeTags(transport, true);
      const line = tags.join() || undefined;
      transport.tag = (line ?? born ?? '').slice(-TAG_LENGTH);
      // Quoted, because the build shortens the name elsewhere.
      const { next, rewind, own } = adopting ?? {};
      // After the answer the new key is the key of the stream.
      Object.assign(hello, { 'key': session && !adopting ? session.next : options.resumeKey, next, gen, rew: rewind, own, born, line });
    }
    return `${toJson(hello)}H`;
  }
}
