/**
 * The present reason for which a stream is not open, as reported to the application: the last cause of failed attempts. While
 * the stream is open, the reason for which a better kind of transport does not carry the stream. Causes without a response are reported only if they last, since most losses of a connection are repaired at once.
 * Pure. Used by the stream machine.
 */
import { local, type Refusal } from './refusal.js';
import type { TransportRanking } from './transport_ranking.js';
import type { Kind, Output, Problem } from './types.js';

/** Time in ms for which a cause without a response of a server must last before the report. */
export const REPORT_DELAY = 2_000;
/** Time in ms for which a cause with a response counts more than one without. */
export const CERTAIN_TIME = 10_000;

/** Returns whether a cause comes without a response of a server. */
function isUncertain({ code }: Refusal): boolean {
  return ['network', 'timeout', 'frame'].includes(code);
}

/** Returns the reason for which `kind` and no better one carries the stream; null without one. */
function lesserCause(kind: Kind, ranking: TransportRanking): Refusal | null {
  if (kind === 'long-poll' && ranking.isFailing('http-stream')) return local('proxy', 'a proxy buffers HTTP responses');
  return kind !== 'websocket' && ranking.isFailing('websocket') ? local('blocked', 'WebSocket does not work in this network') : null;
}

export class ProblemReport {
  /** The reported problem; null if no cause is certain. */
  current: Problem | null = null;
  #cause: Refusal | null = null;
  /** Time of the first failure since the stream was open. */
  #since = 0;
  /** Time until which a cause without a response does not replace the present one. */
  #validUntil = 0;
  /** Kind that carries the open stream and the next probe of a better one; the reason for the former, and since when. */
  #fallback: { readonly kind: Kind; readonly probeAt: number } | undefined;
  #lesser: Refusal | null = null;
  #lesserSince = 0;

  /** Records the cause of a failed attempt. */
  onFailed(cause: Refusal, now: number): void {
    if (!this.#cause) this.#since = now;
    if (isUncertain(cause) && this.#cause && (isUncertain(this.#cause) || now < this.#validUntil)) return;
    this.#cause = cause;
    this.#validUntil = now + CERTAIN_TIME;
  }

  /** Replaces the cause by the result of a diagnosis, which remains until the stream is open or a response arrives. */
  onDiagnosed(cause: Refusal): void {
    if (!this.#cause) return;
    this.#cause = cause;
    this.#validUntil = Infinity;
  }

  /**
   * Derives the problem and returns the change. `nextAttemptAt` is the time of the next attempt, `kind` carries the open
   * stream.
   */
  update(isOpen: boolean, nextAttemptAt: number, now: number, kind?: Kind | null, ranking?: TransportRanking): Output[] {
    if (isOpen) this.#cause = null;
    if (kind && ranking) {
      const lesser = lesserCause(kind, ranking);
      if (lesser?.code !== this.#lesser?.code) this.#lesserSince = now;
      this.#lesser = lesser;
      this.#fallback = { kind, probeAt: ranking.nextProbeAt(kind) };
    }
    const cause = this.#cause ?? this.#lesser;
    if (cause && now < this.dueAt) return [];
    if (cause?.code === this.current?.code && cause?.title === this.current?.title) return [];
    const fallback = this.#cause ? undefined : this.#fallback;
    const after = Math.max(0, Math.round((fallback?.probeAt ?? nextAttemptAt) - now));
    this.current = cause && { code: cause.code, title: cause.title, after, ...(fallback && { fallback: fallback.kind }) };
    return [{ do: 'problem', problem: this.current }];
  }

  /** Time at which `update` reports the cause; Infinity without one. */
  get dueAt(): number {
    if (!this.#cause) return this.#lesser ? this.#lesserSince + REPORT_DELAY : Infinity;
    return isUncertain(this.#cause) ? this.#since + REPORT_DELAY : this.#since;
  }
}
