/**
 * Opens transports and writes to them: hellos, messages, SACKs and resets, as outputs for the driver. The transport
 * policy decides when; received frames and closed transports belong to the stream machine, the only caller.
 */
import type { OutFrame } from '../frames.js';
import type { ConnectionState } from './connection_state.js';
import type { ReliableChannel } from './reliable_channel.js';
import { REQUEST_TIMEOUT, TransportFactory } from './transport_factory.js';
import type { TransportPolicy } from './transport_policy.js';
import type { Transports } from './transports.js';
import { Uploads } from './uploads.js';
import type { Kind, Output, Transport } from './types.js';

/** Parts of the stream machine that the opener shares, and the outputs. */
export interface OpenerContext {
  readonly transports: Transports;
  readonly channel: ReliableChannel;
  readonly policy: TransportPolicy;
  readonly connection: ConnectionState;
  readonly outputs: Output[];
  readonly random: () => number;
  /** Called right before an HTTP request; messages sent in the call share the request. */
  readonly beforeUpload?: (() => void) | undefined;
}

/** Round trips that prove a WebSocket: a faulty proxy may pass the first frames only. */
const PROBE_ROUNDS = 3;

export class Opener {
  readonly uploads: Uploads;
  /** Time of the last write to a WebSocket. */
  #writtenAt = 0;

  constructor(
    readonly context: OpenerContext,
    readonly factory: TransportFactory,
  ) {
    const { transports, channel, policy, random } = context;
    this.uploads = new Uploads(transports, channel, policy, random);
  }

  /** Opens or promotes a transport if the policy wants another one now. */
  openTransports(now: number): void {
    const { transports, policy } = this.context;
    const { candidate } = transports;
    if (candidate?.opened && !candidate.probing) {
      if (policy.mustProve(candidate)) this.probe(candidate, now);
      else if (policy.mayRetire(now)) this.#promote(candidate, now);
    }
    const kind = policy.nextKind(now);
    if (kind === null) return;
    const why = this.factory.transportsMade === 0 ? 'start' : policy.reasonFor(kind);
    if (kind === 'websocket') {
      transports.candidate = this.#open(kind, why, now);
    } else if (policy.mayRetire(now)) {
      this.#announceRequest();
      if (this.context.connection.state === 'ended') return;
      const { primary } = transports;
      const resumesPolling = kind === 'long-poll' && (policy.polling || !!primary?.probing);
      // A late answer still proves the kind.
      if (primary?.probing) policy.ranking.onFailed('http-stream', now, true);
      this.#retire();
      this.#openPrimary(kind, why, now, resumesPolling);
    }
  }

  /** Writes due messages and SACKs to the carrier, or starts an upload. */
  flush(now: number): void {
    const { transports, channel, policy } = this.context;
    const { carrier } = transports;
    // A hello with `new` may reach the server after the hellos of newer transports, so the reset follows each one.
    for (const each of transports.all()) {
      const isSocket = each.kind === 'websocket';
      if (isSocket && each.mayCreate && each !== carrier) this.#write(each, channel.takeReset(each));
    }
    if (carrier?.kind === 'websocket') {
      const { receiver } = channel;
      // A SACK serves as the heartbeat of the client.
      const beats = now >= this.#writtenAt + policy.heartbeat && carrier.attached && !carrier.closing;
      const frames = channel.takeFrames(carrier, now);
      const due = receiver.ackDueAt < Infinity && (frames.length > 0 || now >= receiver.ackDueAt);
      if (due || beats) {
        const tags = VERSION_3 && carrier.tag ? receiver.takeTags(carrier) : [];
        frames.unshift(...tags.map((pair) => `${pair}L`), `${receiver.takeSack(now)}A`);
      }
      this.#write(carrier, frames, now);
    } else if (now >= this.uploads.dueAt) {
      this.#announceRequest();
      const frames: OutFrame[] = [];
      this.uploads.load(this.#open('upload', 'upload', now, frames), frames, now);
    }
  }

  /** Returns the times at which `flush` may have something to write. */
  deadlines(): number[] {
    const { transports, channel, policy } = this.context;
    const { carrier } = transports;
    if (carrier?.kind !== 'websocket') return [this.uploads.dueAt];
    return [this.#writtenAt + policy.heartbeat, channel.receiver.delayedAck.dueAt];
  }

  /**
   * Returns the frames of a final upload with unacknowledged messages, at most `room` bytes, and an unconfirmed reset;
   * null if there are none.
   */
  finalUpload(room: number): OutFrame[] | null {
    const upload = this.factory.transport('upload', 'leave', 0);
    const hello = this.#hello(upload);
    const frames = this.context.channel.finalFrames(upload, room - hello.length);
    return frames.length > 0 ? [hello, ...frames] : null;
  }

  /** Closes a transport without further effects. */
  close(transport: Transport): void {
    this.context.outputs.push({ do: 'close', key: transport.key });
    this.context.transports.remove(transport);
  }

  /**
   * Begins a probe, or continues one after an answer of the server. The hello has neither `eeds` nor a SACK, and no
   * messages follow, so that the primary keeps all of them. The server acknowledges and drops duplicates of message 0.
   * A proven WebSocket cannot become the primary, so another one follows.
   */
  probe(candidate: Transport, now: number): void {
    const { transports, channel } = this.context;
    const { probing, sacks } = candidate;
    if (sacks < PROBE_ROUNDS && !(probing && channel.seenAck.endsWith('|-1'))) {
      Object.assign(candidate, { probing: true, hasSent: probing, deadline: now + REQUEST_TIMEOUT });
      return this.#write(candidate, probing ? ['0N', ' '] : [this.#hello(candidate)], now);
    }
    this.close(candidate);
    transports.candidate = this.#open('websocket', 'proven', now);
  }

  /** Makes an open WebSocket the primary. */
  #promote(candidate: Transport, now: number): void {
    const { transports, channel } = this.context;
    transports.candidate = null;
    this.#retire();
    transports.primary = candidate;
    this.#endPolling();
    Object.assign(candidate, { openedAt: now, deadline: now + REQUEST_TIMEOUT });
    this.#write(candidate, [this.#hello(candidate), ...channel.takeFrames(candidate, now)], now);
  }

  #openPrimary(kind: Kind, why: string, now: number, again: boolean): void {
    const { transports, policy } = this.context;
    const probing = policy.polling && kind === 'http-stream';
    const primary = this.#open(kind, why, now, [], again);
    primary.probing = probing;
    transports.primary = primary;
    if (again) primary.deadline += policy.maxPollTime * 1000;
    this.#endPolling();
  }

  /** Ends the phase between two polls when a primary takes over. */
  #endPolling(): void {
    const { policy, connection } = this.context;
    if (policy.polling) connection.onHandover();
    policy.polling = false;
  }

  /** Makes the primary the predecessor. */
  #retire(): void {
    const closed = this.context.transports.retire();
    if (closed) this.close(closed);
  }

  #open(kind: Kind | 'upload', why: string, now: number, frames: OutFrame[] = [], attached = false): Transport {
    const { factory } = this;
    const { versions } = factory;
    const transport = factory.transport(kind, why, now);
    transport.attached = attached;
    if (kind !== 'websocket') {
      frames.unshift(this.#hello(transport));
      // Uploads require an existing stream: before the confirmation messages follow the hello, and so does a reset.
      const { channel } = this.context;
      const { created, resetting } = channel;
      if (kind !== 'upload' && (!created || resetting)) frames.push(...channel.takeFrames(transport, now));
    }
    this.context.outputs.push({ do: 'open', key: transport.key, kind, frames, versions });
    return transport;
  }

  /** Lets the page send messages along with the next HTTP request. */
  #announceRequest(): void {
    if (!this.context.channel.resetting) this.context.beforeUpload?.();
  }

  #hello(transport: Transport): string {
    const { transports, channel, policy } = this.context;
    transport.asksReason = !!channel.resetting && !transports.all().some((other) => other.mayCreate);
    return this.factory.hello(transport, transports.healthyPredecessor, policy);
  }

  #write(transport: Transport, frames: OutFrame[], now = 0): void {
    if (frames.length === 0) return;
    this.#writtenAt = now;
    this.context.outputs.push({ do: 'write', key: transport.key, frames });
  }
}
