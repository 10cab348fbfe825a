/**
 * Makes transports and their hellos: numbers them, and says in each what the server must know. Opens nothing
 * itself. Used by the stream machine.
 */
import { toJson, type Hello } from '../hello.js';
import type { ReliableChannel } from './reliable_channel.js';
import type { Kind, Transport } from './types.js';

/** ms from a hello to its answer. */
export const REQUEST_TIMEOUT = 15_000;
/** ms from asking for a WebSocket until it is open. */
const CONNECT_DEADLINE = 10_000;
/** Seconds between two beats of a hidden page: browsers run its timers once a minute. */
const HIDDEN_PAGE_INTERVAL = 60;

export class TransportFactory {
  /** Transports made, and hellos written so far. */
  transportsMade = 0;
  hellosSent = 0;

  constructor(
    readonly channel: ReliableChannel,
    readonly id: string,
    readonly cred: string | undefined,
    /** Seconds of silence after which the server sends a heartbeat. */
    readonly heartbeat: number,
  ) {}

  transport(kind: Kind | 'upload', why: string, now: number): Transport {
    const deadline = now + (kind === 'websocket' ? CONNECT_DEADLINE : REQUEST_TIMEOUT);
    const numbers = { key: this.transportsMade++, number: -1, openedAt: now, lastReceivedAt: now, deadline, nextOut: 0, nextIn: 0 };
    const fresh = { opened: false, attached: false, replaceReason: '', suspect: false, closing: false, progress: false, hasSent: false };
    return { kind, why, ...numbers, ...fresh };
  }

  /** The hello of a transport, which gets its number. `proven`: of a long-poll that follows one that worked. */
  hello(transport: Transport, predecessor: Transport | null, maxPollTime: number, proven = false): string {
    transport.number = this.hellosSent++;
    const { id, cred, channel } = this;
    const { created } = channel;
    const isUpload = transport.kind === 'upload';
    const isPoll = transport.kind === 'long-poll';
    const hello: Hello = {
      ver: 2,
      tnum: transport.number,
      id,
      new: created ? undefined : true,
      cred: created ? undefined : cred,
      ming: !isUpload && !isPoll,
      // An unproven long-poll is answered at once by a heartbeat, if not by `C`.
      maxia: isUpload || (isPoll && (proven || !created)) ? 0 : this.heartbeat,
      // Means nothing but on a WebSocket.
      beat: Math.max(this.heartbeat, HIDDEN_PAGE_INTERVAL),
      maxt: isPoll ? maxPollTime : undefined,
      seenack: channel.seenAck,
      sack: channel.receiver.takeSack(),
      eeds: isUpload ? undefined : (predecessor?.number ?? null),
      why: transport.why,
    };
    return `${toJson(hello)}H`;
  }
}
