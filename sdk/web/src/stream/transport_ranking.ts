/**
 * Which kind of transport to try: the best one that is not known to fail here. A kind is known to fail
 * when a lesser one works while it does not: when nothing works, no kind is to blame. It is tried
 * again at growing intervals. Knows no transports. Used by the stream machine.
 */
import { isBetter, KINDS, type Kind } from './types.js';

/** ms after which a kind that failed is tried again, the first time and at the longest. */
export const FIRST_PROBE = 10_000;
export const LONGEST_PROBE = 600_000;
/** Failures in a row after which a kind that has worked is passed over. */
const TRUST = 3;
/** A transport that lived for so many ms clears the failures of its kind, and its interval. */
const LIVED = 5_000;
const LIVED_LONG = 60_000;

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
  out: boolean;
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
      const notBefore = known && isBetter(kind, known) ? FIRST_PROBE : 0;
      this.#kinds.set(kind, { notBefore, interval: FIRST_PROBE, failures: 0, proven: false, out: false });
    }
  }

  best(now: number): Kind {
    return this.pinned ?? this.#bestOf(KINDS, now);
  }

  /** The kind to try beside `kind` when that takes long; null: none. */
  below(kind: Kind, now: number): Kind | null {
    const lesser = KINDS.filter((each) => isBetter(kind, each));
    return this.pinned || lesser.length === 0 ? null : this.#bestOf(lesser, now);
  }

  /** When a kind better than `kind` may be tried. */
  nextProbe(kind: Kind): number {
    const better = KINDS.filter((each) => isBetter(each, kind));
    return this.pinned ? Infinity : Math.min(Infinity, ...better.map((each) => this.#of(each).notBefore));
  }

  /** One could not be established, or died young; `lesser` works meanwhile. True: another kind may be tried at once. */
  onFailed(kind: Kind, now: number, lesser: boolean): boolean {
    const experience = this.#of(kind);
    experience.failures += 1;
    if (this.pinned) return false;
    if (lesser) return this.#punish(experience, now);
    experience.out = experience.failures >= (experience.proven ? TRUST : 1);
    if (kind !== 'long-poll') return experience.out;
    for (const each of this.#kinds.values()) each.out = false;
    return false;
  }

  /** One works, those of `silent` did not answer in the meantime. */
  onHeard(kind: Kind, silent: readonly Kind[], now: number): void {
    this.#of(kind).proven = true;
    for (const [other, experience] of this.#kinds) {
      if (isBetter(other, kind) && (experience.out || silent.includes(other))) this.#punish(experience, now);
      experience.out = false;
    }
  }

  /** One that worked is over after `age` ms. */
  onGone(kind: Kind, age: number): void {
    const experience = this.#of(kind);
    if (age >= LIVED) experience.failures = 0;
    if (age >= LIVED_LONG) experience.interval = FIRST_PROBE;
  }

  /** What failed may be tried now; `anew`: the network is another one, experience counts no more. */
  hurry(anew: boolean): void {
    for (const experience of this.#kinds.values()) {
      experience.notBefore = 0;
      experience.out = false;
      if (anew) Object.assign(experience, { interval: FIRST_PROBE, failures: 0, proven: false });
    }
  }

  #punish(experience: KindRecord, now: number): boolean {
    experience.notBefore = now + experience.interval * (0.75 + this.random() / 2);
    experience.interval = Math.min(LONGEST_PROBE, experience.interval * 2);
    experience.failures = 0;
    return true;
  }

  #bestOf(kinds: readonly Kind[], now: number): Kind {
    const may = (kind: Kind): boolean => !this.#of(kind).out && now >= this.#of(kind).notBefore;
    return kinds.find(may) ?? 'long-poll';
  }

  #of(kind: Kind): KindRecord {
    return this.#kinds.get(kind) as KindRecord;
  }
}
