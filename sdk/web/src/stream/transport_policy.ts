/**
 * Transport policy: decides which kind to open next and when to replace the primary. Covers the race at the start,
 * fallback, probes of better kinds, health checks and back-off. Observes the transports; the stream machine, the only
 * caller, opens and closes them.
 */
import { MAX_POLL_TIME } from '../hello.js';
import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import { TransportRanking } from './transport_ranking.js';
import type { Transports } from './transports.js';
import { SACK_TIMEOUT } from './in_flight.js';
import { isBetter, type Kind, type Transport, type TransportOutcome } from './types.js';

/** Time in ms that a replaced, closing or reset transport may take to end. */
export const LINGER_TIME = 5_000;
/** Time in ms after which another kind is tried in parallel with a WebSocket that is still opening. */
export const ATTEMPT_DELAY = 500;
/** Time in ms after which a lesser kind is tried in parallel; servers send the first heartbeat at once. */
export const RESPONSE_TIMEOUT = 1_500;
/** Upper bound of the response timeout in ms; each false alarm doubles the timeout. */
const MAX_RESPONSE_TIMEOUT = 12_000;
/** Time in ms after which a long-poll follows an unproven HTTP stream, which delays messages of a buffering proxy. */
const STREAM_PROBE_TIME = 100;
/** Least duration in ms of the response of a late HTTP stream; a response that arrives at once, at its end, was buffered. */
const MIN_RESPONSE_TIME = 25;
/** SACK timeout in ms on a WebSocket that may be deaf, and the SACKs with progress that end this suspicion. */
const PROBATION_TIMEOUT = 1_500;
const PROBATION_SACKS = 3;
/** Age in ms from which the orderly end of a transport needs no back-off. */
const MIN_NORMAL_AGE = 1_000;
/** Failures below this age in ms count against the kind. */
const EARLY_FAILURE_AGE = 3_000;
/** Age in ms below which a long-poll is not replaced, so that the successor's hello cannot overtake the poll's. */
const MIN_POLL_AGE = 1_000;
/** Consecutive empty polls without back-off; races cause a few. */
const MAX_IDLE_POLLS = 3;
/** Time in ms beyond the SACK timeout after which heartbeats without a SACK mean that sent data is lost. */
const MAX_SACK_DELAY = 10_000;
/** Silence in ms that, with a SACK overdue, makes the primary suspect. */
const MAX_SILENCE = 5_000;

export class TransportPolicy {
  readonly ranking: TransportRanking;
  /** Time of the next attempt after failures. */
  readonly retry: RetryTimer;
  readonly lifetimes = new Lifetimes();
  /** The last long-poll ended in order and the next one is due; the stream counts as open meanwhile. */
  polling = false;
  #pollRetry: RetryTimer;
  #idlePolls = 0;
  #responseTimeout = RESPONSE_TIMEOUT;
  /** The same for an HTTP stream that follows a long-poll. */
  #streamTimeout = STREAM_PROBE_TIME;

  constructor(
    readonly transports: Transports,
    random: () => number,
    wanted: Kind | 'auto',
    known?: Kind,
    /** Heartbeat interval of the server in ms, as configured. */
    readonly heartbeatMs = 20_000,
  ) {
    this.ranking = new TransportRanking(wanted, random, known);
    this.retry = new RetryTimer(random);
    this.#pollRetry = new RetryTimer(random);
  }

  /** Returns the kind to open now, in addition to the present transports; null for none. */
  nextKind(now: number): Kind | null {
    const { primary, candidate, healthyPredecessor } = this.transports;
    const best = this.ranking.best(now);
    const ready = now >= this.retry.nextAttemptAt;
    if (!primary && this.polling && now >= this.#pollRetry.nextAttemptAt) {
      // Polling continues while a better kind is being opened.
      if (best === 'long-poll' || candidate || !ready) {
        return candidate?.opened && !candidate.probing ? null : 'long-poll';
      }
    }
    if (!ready) return null;
    if (candidate) return this.#raceAgainst(candidate, now);
    if (!primary) return this.polling && best === 'long-poll' ? null : best;
    if (primary.attached) return primary.replaceReason || this.#shouldMoveTo(best, primary.kind as Kind) ? best : null;
    if (this.ranking.pinned) return best === primary.kind ? null : best;
    return healthyPredecessor ? null : this.#fallbackFor(primary, now);
  }

  /**
   * Returns whether an open WebSocket must be proven in both directions before it carries messages: over HTTP the
   * stream works already.
   */
  mustProve(candidate: Transport): boolean {
    return (this.#workingKind ?? 'websocket') !== 'websocket' && candidate.why !== 'proven' && !this.ranking.pinned;
  }

  /** Returns whether the primary may be replaced now. */
  mayRetire(now: number): boolean {
    const { primary } = this.transports;
    return primary?.kind !== 'long-poll' || now >= primary.openedAt + MIN_POLL_AGE;
  }

  /** Returns the reason for opening the next transport, as one word for the hello. */
  reasonFor(kind: Kind): string {
    const { primary, candidate } = this.transports;
    if (primary?.attached) return primary.replaceReason || (this.ranking.pinned ? 'switch' : 'better');
    if (this.polling) return kind === 'long-poll' ? 'poll' : 'better';
    return primary || candidate ? 'fallback' : 'lost';
  }

  /** Marks the primary for replacement if silent, unacknowledged or close to its expected cut. */
  checkHealth(now: number): void {
    const { primary } = this.transports;
    if (!primary?.attached || primary.replaceReason) return;
    if (now >= this.#silentAt(primary)) this.suspect('silent');
    else if (now >= this.#unacknowledgedAt(primary)) {
      if (this.#mayBeDeaf(primary)) this.ranking.onFailed('websocket', now, true);
      this.suspect('unanswered');
    } else if (now >= this.#expectedCutAt(primary)) primary.replaceReason = 'limit';
  }

  /** Marks the primary as possibly dead; opening a successor shows whether the network works. */
  suspect(why: string): void {
    const { primary } = this.transports;
    if (!primary?.attached) return;
    primary.suspect = true;
    primary.replaceReason = why;
  }

  /** Returns the times at which `nextKind`, `mayRetire` or `checkHealth` may change their result. */
  deadlines(): number[] {
    const { primary, candidate } = this.transports;
    const times = [this.retry.nextAttemptAt];
    if (candidate) times.push(candidate.openedAt + ATTEMPT_DELAY);
    if (!primary) return [...times, this.#pollRetry.nextAttemptAt];
    if (primary.kind === 'long-poll') times.push(primary.openedAt + MIN_POLL_AGE);
    if (!primary.attached) return [...times, this.#fallbackAt(primary)];
    times.push(this.ranking.nextProbeAt(primary.kind as Kind));
    if (primary.replaceReason) return times;
    return [...times, this.#silentAt(primary), this.#unacknowledgedAt(primary), this.#expectedCutAt(primary)];
  }

  /** Time in seconds for which the server may hold a long-poll. */
  get maxPollTime(): number {
    return Math.max(1, Math.floor(Math.min(MAX_POLL_TIME, this.lifetimes.maxAge('long-poll') / 1000)));
  }

  /** Records received frames. */
  onFrames(transport: Transport, now: number): void {
    const { primary, predecessor } = this.transports;
    const first = !transport.attached;
    Object.assign(transport, { attached: true, lastReceivedAt: now });
    if (transport.suspect) Object.assign(transport, { suspect: false, replaceReason: '' });
    if (transport.kind === 'upload' || transport === this.transports.candidate) return;
    if (first && transport === predecessor) transport.lateAt = now + MIN_RESPONSE_TIME;
    else if (first || now >= transport.lateAt) this.#onWorking(transport, now);
    if (transport === primary && first && predecessor) {
      predecessor.deadline = Math.min(predecessor.deadline, now + LINGER_TIME);
    }
    if (transport === predecessor && primary?.attached) return;
    if (!transport.closing) transport.deadline = now + 2 * this.heartbeat;
  }

  /** Records that the server or the network closed a transport. */
  onRemoteClose(transport: Transport, outcome: TransportOutcome, now: number): void {
    const { kind, attached, closing, openedAt, lastReceivedAt } = transport;
    const isCut = (outcome === 'failed' || !closing) && attached;
    if (isCut && kind !== 'upload') this.lifetimes.onCut(kind, now - openedAt, now - lastReceivedAt);
  }

  /** Records the end of the primary, unless its predecessor takes over. */
  onPrimaryClosed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const age = now - transport.openedAt;
    const settled = transport.progress || age >= MIN_NORMAL_AGE;
    if (transport.attached) this.ranking.onClosed(transport.kind as Kind, age);
    if (transport.attached && settled) this.retry.onSuccess();
    this.polling = outcome === 'ended' && transport.kind === 'long-poll';
    if (this.polling) {
      this.#idlePolls = settled ? 0 : this.#idlePolls + 1;
      if (this.#idlePolls > MAX_IDLE_POLLS) this.#pollRetry.onFailure(now);
      else if (this.#idlePolls === 0) this.#pollRetry.onSuccess();
    } else if (outcome !== 'ended' || !settled) {
      this.onFailed(transport, outcome, now);
    }
  }

  /** Records a failed attempt or a lost transport. */
  onFailed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const kind = transport.kind as Kind;
    const isEarly = !transport.attached || transport.probing || now - transport.openedAt < EARLY_FAILURE_AGE;
    const blamed = outcome !== 'unavailable' && isEarly;
    const working = this.#workingKind;
    const lesserWorks = working !== null && isBetter(kind, working);
    if (!blamed || !this.ranking.onFailed(kind, now, lesserWorks)) this.retry.onFailure(now);
  }

  /** Allows attempts at once; `networkChanged` discards the experience of the former network. */
  retryNow(networkChanged: boolean, now: number): void {
    this.retry.retryNow(now);
    this.#pollRetry.retryNow(now);
    this.ranking.retryNow(networkChanged);
    if (!networkChanged) return;
    this.lifetimes.clear();
    this.#streamTimeout = STREAM_PROBE_TIME;
  }

  /** Heartbeat interval in ms for the next transport. */
  get heartbeat(): number {
    return Math.min(this.heartbeatMs, this.lifetimes.maxHeartbeat);
  }

  /** Kind that works now, also between two polls; null for none. */
  get #workingKind(): Kind | null {
    return this.transports.healthyKind ?? (this.polling ? 'long-poll' : null);
  }

  #onWorking(transport: Transport, now: number): void {
    const { primary, predecessor } = this.transports;
    transport.lateAt = Infinity;
    const silent = transport === primary && predecessor && !predecessor.attached ? [predecessor.kind as Kind] : [];
    if (transport === predecessor) {
      if (transport.probing) this.#streamTimeout = this.#responseTimeout;
      else this.#responseTimeout = Math.min(MAX_RESPONSE_TIMEOUT, this.#responseTimeout * 2);
    }
    this.ranking.onWorking(transport.kind as Kind, silent, now);
  }

  /** Returns the kind to open in parallel with a WebSocket that is still opening. */
  #raceAgainst(candidate: Transport, now: number): Kind | null {
    const { primary, healthyKind } = this.transports;
    if ((candidate.opened && !candidate.probing) || now < candidate.openedAt + ATTEMPT_DELAY) return null;
    if (healthyKind) return null;
    if (!primary || primary.suspect) return this.ranking.fallback('websocket', now);
    return primary.attached ? null : this.#fallbackFor(primary, now);
  }

  /** Returns the kind to open in parallel with a primary that has not responded in time. */
  #fallbackFor(primary: Transport, now: number): Kind | null {
    return now < this.#fallbackAt(primary) ? null : this.ranking.fallback(primary.kind as Kind, now);
  }

  #fallbackAt(primary: Transport): number {
    return primary.openedAt + (primary.probing ? this.#streamTimeout : this.#responseTimeout);
  }

  /** An HTTP stream follows the end of a long-poll; a WebSocket is opened in addition. */
  #shouldMoveTo(best: Kind, kind: Kind): boolean {
    return best !== kind && (this.ranking.pinned !== null || best === 'websocket');
  }

  /** A WebSocket after an unanswered one, until several SACKs showed that the server receives data. */
  #mayBeDeaf({ kind, why, sacks }: Transport): boolean {
    return kind === 'websocket' && why === 'unanswered' && sacks > 0 && sacks < PROBATION_SACKS;
  }

  #silentAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.lastReceivedAt + this.heartbeat * 1.25 + 1_000;
  }

  #unacknowledgedAt(primary: Transport): number {
    const due = primary.sackDueAt;
    if (this.#mayBeDeaf(primary)) return due - SACK_TIMEOUT + PROBATION_TIMEOUT;
    return Math.max(due, Math.min(primary.lastReceivedAt + MAX_SILENCE, due + MAX_SACK_DELAY));
  }

  #expectedCutAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.openedAt + this.lifetimes.maxAge(primary.kind as Kind);
  }
}
