/**
 * Which kind of transport to try: the best one that is not known to fail here. A kind is known to fail
 * when a lesser one works while it does not: when nothing works, no kind is to blame. It is tried
 * again at growing intervals. Knows no transports. Used by the stream machine.
 */
import { isBetter, KINDS, type Kind } from './types.js';

/** ms after which a kind that failed is tried again, the first time and at the longest. */
export const MIN_PROBE_INTERVAL = 10_000;
export const MAX_PROBE_INTERVAL = 600_000;
/** Failures in a row after which a kind that has worked is passed over. */
const MAX_PROVEN_FAILURES = 3;
/** A transport that lived for so many ms clears the failures of its kind, and its interval. */
const FAILURE_RESET_AGE = 5_000;
const INTERVAL_RESET_AGE = 60_000;

interface KindRecord {
  /** Not to be tried before this time. */
  notBefore: number;
  /** ms until it is tried again after the next failure. */
  interval: number;
  /** Failures in a row. */
  failures: number;
  /** It worked in this network. */
  proven: boolean;
  /** Failed since something worked. */
  excluded: boolean;
}

export class TransportRanking {
  /** The only kind that is used; null: all. */
  pinned: Kind | null;
  #kinds = new Map<Kind, KindRecord>();

  /** `known`: the best kind that worked the last time. */
  constructor(
    wanted: Kind | 'auto',
    readonly random: () => number,
    known: Kind | null = null,
  ) {
    this.pinned = wanted === 'auto' ? null : wanted;
    for (const kind of KINDS) {
      const notBefore = known && isBetter(kind, known) ? MIN_PROBE_INTERVAL : 0;
      this.#kinds.set(kind, { notBefore, interval: MIN_PROBE_INTERVAL, failures: 0, proven: false, excluded: false });
    }
  }

  best(now: number): Kind {
    return this.pinned ?? this.#bestOf(KINDS, now);
  }

  /** The kind to try beside `kind` when that takes long; null: none. */
  fallback(kind: Kind, now: number): Kind | null {
    const lesser = KINDS.filter((each) => isBetter(kind, each));
    return this.pinned || lesser.length === 0 ? null : this.#bestOf(lesser, now);
  }

  /** When a kind better than `kind` may be tried. */
  nextProbeAt(kind: Kind): number {
    const better = KINDS.filter((each) => isBetter(each, kind));
    return this.pinned ? Infinity : Math.min(Infinity, ...better.map((each) => this.#of(each).notBefore));
  }

  /** One could not be established, or died young; `lesser` works meanwhile. True: another kind may be tried at once. */
  onFailed(kind: Kind, now: number, lesser: boolean): boolean {
    const record = this.#of(kind);
    record.failures += 1;
    if (this.pinned) return false;
    if (lesser) return this.#scheduleProbe(record, now);
    record.excluded = record.failures >= (record.proven ? MAX_PROVEN_FAILURES : 1);
    if (kind !== 'long-poll') return record.excluded;
    for (const each of this.#kinds.values()) each.excluded = false;
    return false;
  }

  /** One works, those of `silent` did not answer in the meantime. */
  onWorking(kind: Kind, silent: readonly Kind[], now: number): void {
    this.#of(kind).proven = true;
    for (const [other, record] of this.#kinds) {
      if (isBetter(other, kind) && (record.excluded || silent.includes(other))) this.#scheduleProbe(record, now);
      record.excluded = false;
    }
  }

  /** One that worked is over after `age` ms. */
  onClosed(kind: Kind, age: number): void {
    const record = this.#of(kind);
    if (age >= FAILURE_RESET_AGE) record.failures = 0;
    if (age >= INTERVAL_RESET_AGE) record.interval = MIN_PROBE_INTERVAL;
  }

  /** What failed may be tried now; `anew`: the network is another one, experience counts no more. */
  retryNow(networkChanged: boolean): void {
    for (const record of this.#kinds.values()) {
      record.notBefore = 0;
      record.excluded = false;
      if (networkChanged) Object.assign(record, { interval: MIN_PROBE_INTERVAL, failures: 0, proven: false });
    }
  }

  #scheduleProbe(record: KindRecord, now: number): boolean {
    record.notBefore = now + record.interval * (0.75 + this.random() / 2);
    record.interval = Math.min(MAX_PROBE_INTERVAL, record.interval * 2);
    record.failures = 0;
    return true;
  }

  #bestOf(kinds: readonly Kind[], now: number): Kind {
    const may = (kind: Kind): boolean => !this.#of(kind).excluded && now >= this.#of(kind).notBefore;
    return kinds.find(may) ?? 'long-poll';
  }

  #of(kind: Kind): KindRecord {
    return this.#kinds.get(kind) as KindRecord;
  }
}
