/**
 * Decides which transport is to be opened next, and when the present one is not to be trusted any more:
 * the race at the start, falling back, probing upwards, backing off. Looks at the transports, opens and
 * closes none. Used by the stream machine.
 */
import { MAX_POLL_TIME } from '../hello.js';
import { TransportRanking } from './transport_ranking.js';
import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import { isBetter, type TransportOutcome, type Kind, type Transport } from './types.js';

/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
export const LINGER_TIME = 5_000;
/** ms that a WebSocket may take to open before another kind is tried beside it. */
export const ATTEMPT_DELAY = 500;
/** ms from a hello to its answer before a lesser kind is tried beside it: the first beat comes at once. */
export const RESPONSE_TIMEOUT = 1_500;
/** It doubles with each false alarm, up to this. */
const MAX_RESPONSE_TIMEOUT = 12_000;
/** A transport that ends in order after this many ms is succeeded at once, an earlier one after a wait. */
const MIN_NORMAL_AGE = 1_000;
/** One that dies younger, in ms, says something about its kind. */
const EARLY_FAILURE_AGE = 3_000;
/** ms that a long-poll's hello may take to arrive: a successor's must not overtake it. */
const MIN_POLL_AGE = 1_000;
/** Polls in a row that may return quickly with nothing, before waiting: races cause a few. */
const MAX_IDLE_POLLS = 3;
/** With beats but without a SACK for so many ms more, what is sent does not arrive. */
const MAX_SACK_DELAY = 10_000;
/** Something must have come within so many ms, if a SACK is missing. */
const MAX_SILENCE = 5_000;

export class TransportPolicy {
  readonly ranking: TransportRanking;
  readonly retry: RetryTimer;
  readonly lifetimes = new Lifetimes();
  /** The last long-poll ended in order: the next one needs no proof that it works. */
  polling = false;
  #pollRetry: RetryTimer;
  #idlePolls = 0;
  #responseTimeout = RESPONSE_TIMEOUT;

  constructor(
    readonly transports: Transports,
    random: () => number,
    wanted: Kind | 'auto',
    known?: Kind,
    /** ms of silence after which the server sends a heartbeat. */
    readonly heartbeatMs = 20_000,
  ) {
    this.ranking = new TransportRanking(wanted, random, known);
    this.retry = new RetryTimer(random);
    this.#pollRetry = new RetryTimer(random);
  }

  /** The kind to open now, beside what there is; null: none. */
  nextKind(now: number): Kind | null {
    const { primary, candidate, healthyPredecessor } = this.transports;
    const best = this.ranking.best(now);
    const ready = now >= this.retry.nextAttemptAt;
    if (!primary && this.polling && now >= this.#pollRetry.nextAttemptAt) {
      // Polls go on while something better is being opened.
      if (best === 'long-poll' || candidate || !ready) return candidate?.opened ? null : 'long-poll';
    }
    if (!ready) return null;
    if (candidate) return this.#raceAgainst(candidate, now);
    if (!primary) return this.polling && best === 'long-poll' ? null : best;
    if (primary.attached) return primary.replaceReason || this.#shouldMoveTo(best, primary.kind as Kind) ? best : null;
    if (this.ranking.pinned) return best === primary.kind ? null : best;
    return healthyPredecessor ? null : this.#fallbackFor(primary, now);
  }

  /** Whether the primary transport may be succeeded now. */
  mayRetire(now: number): boolean {
    const { primary } = this.transports;
    return primary?.kind !== 'long-poll' || now >= primary.openedAt + MIN_POLL_AGE;
  }

  /** Why the next transport is opened, in one word. */
  reasonFor(kind: Kind): string {
    const { primary, candidate } = this.transports;
    if (primary?.attached) return primary.replaceReason || (this.ranking.pinned ? 'switch' : 'better');
    if (this.polling) return kind === 'long-poll' ? 'poll' : 'better';
    return primary || candidate ? 'fallback' : 'lost';
  }

  /** Marks the primary transport if it should be succeeded. */
  checkHealth(now: number): void {
    const { primary } = this.transports;
    if (!primary?.attached || primary.replaceReason) return;
    if (now >= this.#silentAt(primary)) this.suspect('silent');
    else if (now >= this.#unacknowledgedAt(primary)) this.suspect('unanswered');
    else if (now >= this.#expectedCutAt(primary)) primary.replaceReason = 'limit';
  }

  /** The primary transport may be dead: find out by its successor. */
  suspect(why: string): void {
    const { primary } = this.transports;
    if (!primary?.attached) return;
    primary.suspect = true;
    primary.replaceReason = why;
  }

  /** When a SACK for what the transport carries should have come; set by the stream machine. */
  sackDueAt: (transport: Transport) => number = () => Infinity;

  /** When `next`, `mayRetire` or `watch` may have another answer. */
  deadlines(): number[] {
    const { primary, candidate } = this.transports;
    const times = [this.retry.nextAttemptAt];
    if (candidate) times.push(candidate.openedAt + ATTEMPT_DELAY);
    if (!primary) return [...times, this.#pollRetry.nextAttemptAt];
    if (primary.kind === 'long-poll') times.push(primary.openedAt + MIN_POLL_AGE);
    if (!primary.attached) return [...times, primary.openedAt + this.#responseTimeout];
    times.push(this.ranking.nextProbeAt(primary.kind as Kind));
    if (!primary.replaceReason) times.push(this.#silentAt(primary), this.#unacknowledgedAt(primary), this.#expectedCutAt(primary));
    return times;
  }

  /** Seconds that a long-poll may be held. */
  get maxPollTime(): number {
    return Math.max(1, Math.floor(Math.min(MAX_POLL_TIME, this.lifetimes.maxAge('long-poll') / 1000)));
  }

  /** Frames came on a transport; `over`: and it ended with them. */
  onFrames(transport: Transport, over: boolean, now: number): void {
    const { primary, predecessor } = this.transports;
    const first = !transport.attached;
    Object.assign(transport, { attached: true, lastReceivedAt: now });
    if (transport.suspect) Object.assign(transport, { suspect: false, replaceReason: '' });
    if (transport.kind === 'upload') return;
    if (first) this.#onFirst(transport, over, now);
    if (transport === primary && first && predecessor) predecessor.deadline = Math.min(predecessor.deadline, now + LINGER_TIME);
    if (transport === predecessor && primary?.attached) return;
    if (!transport.closing) transport.deadline = now + 2 * this.heartbeatMs;
  }

  /** The network or the server ended a transport: not this side. */
  onRemoteClose({ kind, attached, closing, openedAt }: Transport, outcome: TransportOutcome, now: number): void {
    if ((outcome === 'failed' || !closing) && attached && kind !== 'upload') this.lifetimes.onCut(kind, now - openedAt);
  }

  /** The primary transport is over, and its predecessor does not take its place. */
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

  /** An attempt failed, or a transport was lost. */
  onFailed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const kind = transport.kind as Kind;
    const blamed = outcome !== 'unavailable' && (!transport.attached || now - transport.openedAt < EARLY_FAILURE_AGE);
    const { healthyKind } = this.transports;
    const lesser = healthyKind !== null && isBetter(kind, healthyKind);
    if (!blamed || !this.ranking.onFailed(kind, now, lesser)) this.retry.onFailure(now);
  }

  /** Tries again now. `anew`: in another network. */
  retryNow(networkChanged: boolean, now: number): void {
    this.retry.retryNow(now);
    this.#pollRetry.retryNow(now);
    this.ranking.retryNow(networkChanged);
    if (networkChanged) this.lifetimes.clear();
  }

  #onFirst(transport: Transport, over: boolean, now: number): void {
    const { primary, predecessor } = this.transports;
    const silent = transport === primary && predecessor && !predecessor.attached ? [predecessor.kind as Kind] : [];
    if (transport === predecessor) {
      // A response that comes only when it is over was held back on the way.
      if (over) return;
      this.#responseTimeout = Math.min(MAX_RESPONSE_TIMEOUT, this.#responseTimeout * 2);
    }
    this.ranking.onWorking(transport.kind as Kind, silent, now);
  }

  /** What to open beside a WebSocket that is being opened. */
  #raceAgainst(candidate: Transport, now: number): Kind | null {
    const { primary, healthyKind } = this.transports;
    if (candidate.opened || healthyKind || now < candidate.openedAt + ATTEMPT_DELAY) return null;
    if (!primary || primary.suspect) return this.ranking.fallback('websocket', now);
    return primary.attached ? null : this.#fallbackFor(primary, now);
  }

  /** What to open beside a transport that does not answer. */
  #fallbackFor(primary: Transport, now: number): Kind | null {
    return now < primary.openedAt + this.#responseTimeout ? null : this.ranking.fallback(primary.kind as Kind, now);
  }

  #shouldMoveTo(best: Kind, kind: Kind): boolean {
    return this.ranking.pinned ? best !== kind : isBetter(best, kind);
  }

  #silentAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.lastReceivedAt + this.heartbeatMs * 1.25 + 1_000;
  }

  #unacknowledgedAt(primary: Transport): number {
    const due = this.sackDueAt(primary);
    return Math.max(due, Math.min(primary.lastReceivedAt + MAX_SILENCE, due + MAX_SACK_DELAY));
  }

  #expectedCutAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.openedAt + this.lifetimes.maxAge(primary.kind as Kind);
  }
}
