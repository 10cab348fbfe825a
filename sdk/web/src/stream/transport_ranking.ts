/**
 * Ranks transport kinds: selects the best kind that is not known to fail in this network. A kind is known to fail if a
 * lesser kind works at the same time; if no kind works, none is blamed. Failed kinds are probed at growing intervals.
 * Independent of transports. Used by the transport policy.
 */
import { isBetter, KINDS, type Kind } from './types.js';

/** Age in ms of a page that begins with a lesser kind, as remembered, at which better kinds are probed. */
export const FIRST_PROBE_TIME = 10_000;
/** Bounds in ms of the interval between probes of a failed kind; the interval triples with each failure. */
export const MIN_PROBE_INTERVAL = 20_000;
export const MAX_PROBE_INTERVAL = 600_000;
/** Consecutive failures that exclude a kind which has worked in this network. */
const MAX_PROVEN_FAILURES = 3;
/** Ages in ms at which a transport resets the failures, and the probe interval, of its kind. */
const FAILURE_RESET_AGE = 5_000;
const INTERVAL_RESET_AGE = 60_000;

/** Experience with one kind in this network. */
interface KindRecord {
  /** Earliest time of the next attempt. */
  notBefore: number;
  /** ms between the next failure and the next probe. */
  interval: number;
  /** Consecutive failures. */
  failures: number;
  /** The kind has worked in this network. */
  proven: boolean;
  /** Excluded until any kind works again. */
  excluded: boolean;
}

export class TransportRanking {
  /** Kind to use exclusively; null for all. */
  pinned: Kind | null;
  #kinds = new Map<Kind, KindRecord>();

  /** `known` is the best kind of the previous session; better kinds are probed later. */
  constructor(
    wanted: Kind | 'auto',
    readonly random: () => number,
    known: Kind | null = null,
  ) {
    this.pinned = wanted === 'auto' ? null : wanted;
    for (const kind of KINDS) {
      const notBefore = known && isBetter(kind, known) ? FIRST_PROBE_TIME : 0;
      this.#kinds.set(kind, { notBefore, interval: MIN_PROBE_INTERVAL, failures: 0, proven: false, excluded: false });
    }
  }

  /** Returns the best kind to use now. */
  best(now: number): Kind {
    return this.pinned ?? this.#bestOf(KINDS, now);
  }

  /** Returns the best kind below `kind`, to be tried in parallel; null for none. */
  fallback(kind: Kind, now: number): Kind | null {
    const lesser = KINDS.filter((each) => isBetter(kind, each));
    return this.pinned || lesser.length === 0 ? null : this.#bestOf(lesser, now);
  }

  /** Returns whether a kind has failed while a lesser one worked, and not worked since. */
  isFailing(kind: Kind): boolean {
    const { notBefore, interval } = this.#of(kind);
    return !this.pinned && notBefore > 0 && interval > MIN_PROBE_INTERVAL;
  }

  /** Returns the earliest time at which a kind better than `kind` may be probed. */
  nextProbeAt(kind: Kind): number {
    const better = KINDS.filter((each) => isBetter(each, kind));
    return this.pinned ? Infinity : Math.min(Infinity, ...better.map((each) => this.#of(each).notBefore));
  }

  /**
   * Records a failed attempt or an early failure; `lesserWorks` means that a lesser kind works at the same time.
   * Returns true if another kind may be tried at once.
   */
  onFailed(kind: Kind, now: number, lesserWorks: boolean): boolean {
    const record = this.#of(kind);
    record.failures += 1;
    if (this.pinned) return false;
    if (lesserWorks) return this.#scheduleProbe(record, now);
    record.excluded = record.failures >= (record.proven ? MAX_PROVEN_FAILURES : 1);
    if (kind !== 'long-poll') return record.excluded;
    for (const each of this.#kinds.values()) each.excluded = false;
    return false;
  }

  /** Records that `kind` works while transports of the `silent` kinds did not respond. */
  onWorking(kind: Kind, silent: readonly Kind[], now: number): void {
    const working = this.#of(kind);
    working.proven = true;
    working.notBefore = 0;
    for (const [other, record] of this.#kinds) {
      if (isBetter(other, kind) && (record.excluded || silent.includes(other))) this.#scheduleProbe(record, now);
      record.excluded = false;
    }
  }

  /** Records the end of a working transport after `age` ms. */
  onClosed(kind: Kind, age: number): void {
    const record = this.#of(kind);
    if (age >= FAILURE_RESET_AGE) record.failures = 0;
    if (age >= INTERVAL_RESET_AGE) record.interval = MIN_PROBE_INTERVAL;
  }

  /** Allows all kinds at once; `networkChanged` also discards the experience of the former network. */
  retryNow(networkChanged: boolean): void {
    for (const record of this.#kinds.values()) {
      record.notBefore = 0;
      record.excluded = false;
      if (networkChanged) Object.assign(record, { interval: MIN_PROBE_INTERVAL, failures: 0, proven: false });
    }
  }

  #scheduleProbe(record: KindRecord, now: number): boolean {
    record.notBefore = now + record.interval * (0.75 + this.random() / 2);
    record.interval = Math.min(MAX_PROBE_INTERVAL, record.interval * 3);
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
