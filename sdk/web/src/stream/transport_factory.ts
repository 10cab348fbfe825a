/**
 * Creates transport records and encodes their hellos; assigns keys and transport numbers. Opens no connections. Used by
 * the stream machine.
 */
import { toJson, type Hello } from '../hello.js';
import type { ReliableChannel } from './reliable_channel.js';
import type { Kind, Transport } from './types.js';

/** Longest time in ms from a hello to the first response. */
export const REQUEST_TIMEOUT = 15_000;
/** Longest time in ms for opening a WebSocket. */
const CONNECT_DEADLINE = 10_000;
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

  constructor(
    readonly channel: ReliableChannel,
    readonly id: string,
    readonly cred: string | undefined,
    /** Heartbeat interval of the server in seconds. */
    readonly heartbeat: number,
  ) {}

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
    transport.number = this.hellosSent++;
    const { id, cred, channel } = this;
    const { created } = channel;
    // A hello with a reset behind it must not create a second stream.
    transport.mayCreate = !created && !channel.resetting;
    const isUpload = transport.kind === 'upload';
    const isPoll = transport.kind === 'long-poll';
    const hello: Hello = {
      ver: 2,
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
      seenack: channel.seenAck,
      // The SACK of a probe may be lost.
      sack: transport.probing ? undefined : channel.receiver.takeSack(),
      eeds: isUpload || transport.probing ? undefined : (predecessor?.number ?? null),
      why: transport.why,
    };
    return `${toJson(hello)}H`;
  }
}
