/**
 * Credentials of a stream whose page can fetch new ones: when the page is called, which hellos wait for a token, and the
 * answer to a request of the server. Pure. Used by the stream machine.
 */
import { isCred, toJson } from '../hello.js';
import type { OpenerContext } from './opener.js';
import type { ProblemReport } from './problem_report.js';
import { local } from './refusal.js';
import type { TransportFactory } from './transport_factory.js';

/** Age in ms up to which a token serves the hellos of a stream that the server has not accepted. */
export const FRESH_TIME = 30_000;
/** Time in ms after which a call of the page without a result may be repeated. */
export const CALL_TIMEOUT = 30_000;

export class Credentials {
  /** The token of hellos is fresh until this time. */
  #freshUntil: number;
  /** A call of the page is under way until this time, unless its result comes before. */
  callUntil = -Infinity;

  constructor(
    readonly context: OpenerContext,
    readonly factory: TransportFactory,
    readonly problem: ProblemReport,
  ) {
    this.#freshUntil = factory.cred === undefined ? -Infinity : Infinity;
  }

  /** False while a hello that creates the stream, or takes it over, waits for a token; calls the page if due. */
  isReady(now: number): boolean {
    const { channel, policy } = this.context;
    if (channel.created || now < this.#freshUntil) return true;
    if (now >= policy.retry.nextAttemptAt) this.call(now);
    return false;
  }

  /** Calls the page, unless a call is under way. */
  call(now: number): void {
    if (now < this.callUntil) return;
    this.callUntil = now + CALL_TIMEOUT;
    this.context.outputs.push({ do: 'token' });
  }

  /** Accepts the result of a call. The server repeats its request if no token follows. */
  onToken(cred: unknown, now: number): void {
    const { channel, policy } = this.context;
    this.callUntil = -Infinity;
    if (isCred(cred)) {
      this.#freshUntil = now + FRESH_TIME;
      this.factory.cred = cred;
      if (channel.created) channel.renewal = [`${toJson({ cred })}t`];
    } else if (!channel.created) {
      this.problem.onFailed(local('token', 'getToken returned no token'), now);
      policy.retry.onFailure(now);
    }
  }
}
