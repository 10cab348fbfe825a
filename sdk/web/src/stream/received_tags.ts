/**
 * Claim tags of the received messages of a stream of version 3: which claim of the partition gave a message its number. A
 * number with two tags reveals that the store lost acknowledged writes. Pure. Used by the receiver.
 */

/** Most pairs of a report, and most runs that are kept. */
export const MAX_PAIRS = 16;
const MAX_RUNS = 64;
/** Tag of messages that were not received. */
const UNKNOWN = '0'.repeat(16);

/** Successive received messages with one tag. */
interface Run {
  readonly first: number;
  last: number;
  readonly tag: string;
}

export class ReceivedTags {
  /** Ascending and disjoint. */
  #runs: Run[] = [];

  /** Records the tag of a message; returns false if the message was received with another one. */
  add(number: number, tag: string): boolean {
    const runs = this.#runs;
    let at = runs.length;
    for (let run; (run = runs[at - 1]) && run.first > number; ) at -= 1;
    const before = runs[at - 1];
    if (before && number <= before.last) return before.tag === tag;
    runs.splice(at, 0, { first: number, last: number, tag });
    this.#join(at);
    this.#join(at - 1);
    if (runs.length > MAX_RUNS) runs.shift();
    return true;
  }

  /** Joins the run at an index with the next one, if no message and no change of the tag lies between. */
  #join(at: number): void {
    const [run, next] = this.#runs.slice(Math.max(at, 0), at + 2);
    if (!run || !next || run.last + 1 !== next.first || run.tag !== next.tag) return;
    run.last = next.last;
    this.#runs.splice(at + 1, 1);
  }

  /** Pairs `FIRST TAG` in ascending order, from the pair that covers `acked` on. */
  pairs(acked: number): string[] {
    const pairs: string[] = [];
    let next = Infinity;
    for (const { first, last, tag } of this.#runs) {
      if (last < acked) continue;
      if (first > next) pairs.push(`${next} ${UNKNOWN}`);
      pairs.push(`${first} ${tag}`);
      next = last + 1;
    }
    // The tag of the last pair would apply to the messages of the omitted ones.
    const last = pairs[MAX_PAIRS - 1];
    if (last && pairs.length > MAX_PAIRS) pairs.splice(MAX_PAIRS - 1, Infinity, `${parseInt(last)} ${UNKNOWN}`);
    return pairs;
  }
}
