/**
 * Decides which transport is to be opened next, and when the present one is not to be trusted any more:
 * the race at the start, falling back, probing upwards, backing off. Looks at the transports, opens and
 * closes none. Used by the stream machine.
 */
import { MAX_POLL } from '../hello.js';
import { TransportRanking } from './transport_ranking.js';
import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import { isBetter, type TransportOutcome, type Kind, type Transport } from './types.js';

/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
export const LINGER = 5_000;
/** ms that a WebSocket may take to open before another kind is tried beside it. */
export const RACE = 500;
/** ms from a hello to its answer before a lesser kind is tried beside it: the first beat comes at once. */
export const ANSWER = 1_500;
/** It doubles with each false alarm, up to this. */
const LONGEST_ANSWER = 12_000;
/** A transport that ends in order after this many ms is succeeded at once, an earlier one after a wait. */
const SETTLED = 1_000;
/** One that dies younger, in ms, says something about its kind. */
const YOUNG = 3_000;
/** ms that a long-poll's hello may take to arrive: a successor's must not overtake it. */
const POLL_ARRIVES = 1_000;
/** Polls in a row that may return quickly with nothing, before waiting: races cause a few. */
const IDLE_POLLS = 3;
/** With beats but without a SACK for so many ms more, what is sent does not arrive. */
const DEAF = 10_000;
/** Something must have come within so many ms, if a SACK is missing. */
const MUTE = 5_000;

export class TransportPolicy {
  readonly choice: TransportRanking;
  readonly retry: RetryTimer;
  readonly lifetimes = new Lifetimes();
  /** The last long-poll ended in order: the next one needs no proof that it works. */
  polling = false;
  #pollRetry: RetryTimer;
  #idlePolls = 0;
  #answer = ANSWER;

  constructor(
    readonly transports: Transports,
    random: () => number,
    wanted: Kind | 'auto',
    known?: Kind,
    /** ms of silence after which the server sends a heartbeat. */
    readonly beat = 20_000,
  ) {
    this.choice = new TransportRanking(wanted, random, known);
    this.retry = new RetryTimer(random);
    this.#pollRetry = new RetryTimer(random);
  }

  /** The kind to open now, beside what there is; null: none. */
  next(now: number): Kind | null {
    const { primary, candidate, working } = this.transports;
    const best = this.choice.best(now);
    const ready = now >= this.retry.at;
    if (!primary && this.polling && now >= this.#pollRetry.at) {
      // Polls go on while something better is being opened.
      if (best === 'long-poll' || candidate || !ready) return candidate?.opened ? null : 'long-poll';
    }
    if (!ready) return null;
    if (candidate) return this.#beside(candidate, now);
    if (!primary) return this.polling && best === 'long-poll' ? null : best;
    if (primary.heard) return primary.renew || this.#isWanted(best, primary.kind as Kind) ? best : null;
    if (this.choice.pinned) return best === primary.kind ? null : best;
    return working ? null : this.#instead(primary, now);
  }

  /** Whether the primary transport may be succeeded now. */
  mayRetire(now: number): boolean {
    const { primary } = this.transports;
    return primary?.kind !== 'long-poll' || now >= primary.openedAt + POLL_ARRIVES;
  }

  /** Why the next transport is opened, in one word. */
  why(kind: Kind): string {
    const { primary, candidate } = this.transports;
    if (primary?.heard) return primary.renew || (this.choice.pinned ? 'switch' : 'better');
    if (this.polling) return kind === 'long-poll' ? 'poll' : 'better';
    return primary || candidate ? 'fallback' : 'lost';
  }

  /** Marks the primary transport if it should be succeeded. */
  watch(now: number): void {
    const { primary } = this.transports;
    if (!primary?.heard || primary.renew) return;
    if (now >= this.#quietAt(primary)) this.suspect('silent');
    else if (now >= this.#unansweredAt(primary)) this.suspect('unanswered');
    else if (now >= this.#cutAt(primary)) primary.renew = 'limit';
  }

  /** The primary transport may be dead: find out by its successor. */
  suspect(why: string): void {
    const { primary } = this.transports;
    if (!primary?.heard) return;
    primary.suspect = true;
    primary.renew = why;
  }

  /** When a SACK for what the transport carries should have come; set by the stream machine. */
  due: (transport: Transport) => number = () => Infinity;

  /** When `next`, `mayRetire` or `watch` may have another answer. */
  times(): number[] {
    const { primary, candidate } = this.transports;
    const times = [this.retry.at];
    if (candidate) times.push(candidate.openedAt + RACE);
    if (!primary) return [...times, this.#pollRetry.at];
    if (primary.kind === 'long-poll') times.push(primary.openedAt + POLL_ARRIVES);
    if (!primary.heard) return [...times, primary.openedAt + this.#answer];
    times.push(this.choice.nextProbe(primary.kind as Kind));
    if (!primary.renew) times.push(this.#quietAt(primary), this.#unansweredAt(primary), this.#cutAt(primary));
    return times;
  }

  /** Seconds that a long-poll may be held. */
  get maxPoll(): number {
    return Math.max(1, Math.floor(Math.min(MAX_POLL, this.lifetimes.limit('long-poll') / 1000)));
  }

  /** Frames came on a transport; `over`: and it ended with them. */
  onHeard(transport: Transport, over: boolean, now: number): void {
    const { primary, previous } = this.transports;
    const first = !transport.heard;
    Object.assign(transport, { heard: true, heardAt: now });
    if (transport.suspect) Object.assign(transport, { suspect: false, renew: '' });
    if (transport.kind === 'upload') return;
    if (first) this.#onFirst(transport, over, now);
    if (transport === primary && first && previous) previous.deadline = Math.min(previous.deadline, now + LINGER);
    if (transport === previous && primary?.heard) return;
    if (!transport.closing) transport.deadline = now + 2 * this.beat;
  }

  /** The network or the server ended a transport: not this side. */
  onClosed({ kind, heard, closing, openedAt }: Transport, ending: TransportOutcome, now: number): void {
    if ((ending === 'failed' || !closing) && heard && kind !== 'upload') this.lifetimes.onBroken(kind, now - openedAt);
  }

  /** The primary transport is over, and its predecessor does not take its place. */
  onPrimaryGone(transport: Transport, ending: TransportOutcome, now: number): void {
    const age = now - transport.openedAt;
    const settled = transport.progress || age >= SETTLED;
    if (transport.heard) this.choice.onGone(transport.kind as Kind, age);
    if (transport.heard && settled) this.retry.onSuccess();
    this.polling = ending === 'ended' && transport.kind === 'long-poll';
    if (this.polling) {
      this.#idlePolls = settled ? 0 : this.#idlePolls + 1;
      if (this.#idlePolls > IDLE_POLLS) this.#pollRetry.onFailure(now);
      else if (this.#idlePolls === 0) this.#pollRetry.onSuccess();
    } else if (ending !== 'ended' || !settled) {
      this.onFailed(transport, ending, now);
    }
  }

  /** An attempt failed, or a transport was lost. */
  onFailed(transport: Transport, ending: TransportOutcome, now: number): void {
    const kind = transport.kind as Kind;
    const blamed = ending !== 'unavailable' && (!transport.heard || now - transport.openedAt < YOUNG);
    const { sound } = this.transports;
    const lesser = sound !== null && isBetter(kind, sound);
    if (!blamed || !this.choice.onFailed(kind, now, lesser)) this.retry.onFailure(now);
  }

  /** Tries again now. `anew`: in another network. */
  hurry(anew: boolean, now: number): void {
    this.retry.hurry(now);
    this.#pollRetry.hurry(now);
    this.choice.hurry(anew);
    if (anew) this.lifetimes.forget();
  }

  #onFirst(transport: Transport, over: boolean, now: number): void {
    const { primary, previous } = this.transports;
    const silent = transport === primary && previous && !previous.heard ? [previous.kind as Kind] : [];
    if (transport === previous) {
      // A response that comes only when it is over was held back on the way.
      if (over) return;
      this.#answer = Math.min(LONGEST_ANSWER, this.#answer * 2);
    }
    this.choice.onHeard(transport.kind as Kind, silent, now);
  }

  /** What to open beside a WebSocket that is being opened. */
  #beside(candidate: Transport, now: number): Kind | null {
    const { primary, sound } = this.transports;
    if (candidate.opened || sound || now < candidate.openedAt + RACE) return null;
    if (!primary || primary.suspect) return this.choice.below('websocket', now);
    return primary.heard ? null : this.#instead(primary, now);
  }

  /** What to open beside a transport that does not answer. */
  #instead(primary: Transport, now: number): Kind | null {
    return now < primary.openedAt + this.#answer ? null : this.choice.below(primary.kind as Kind, now);
  }

  #isWanted(best: Kind, kind: Kind): boolean {
    return this.choice.pinned ? best !== kind : isBetter(best, kind);
  }

  #quietAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.heardAt + this.beat * 1.25 + 1_000;
  }

  #unansweredAt(primary: Transport): number {
    const due = this.due(primary);
    return Math.max(due, Math.min(primary.heardAt + MUTE, due + DEAF));
  }

  #cutAt(primary: Transport): number {
    return primary.kind === 'long-poll' ? Infinity : primary.openedAt + this.lifetimes.limit(primary.kind as Kind);
  }
}
