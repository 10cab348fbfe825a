/**
 * Refusals of attempts: code, text and reaction, derived from the status and the text of a response. Pure. Used by the
 * transports, the diagnosis, the schedule of the shared worker and the stream machine.
 */
import { actionOf } from '../frames3.js';

/**
 * Pause in ms after the first refusal that only an operator or the page can lift; each further one doubles the pause. Short,
 * because a proxy may answer in place of the edge during a deployment.
 */
export const MIN_HALT_TIME = 5_000;
/** Longest pause in ms after refusals, and longest accepted `Retry-After`. */
export const MAX_PAUSE = 300_000;
/** Longest title in characters. */
const MAX_TITLE = 200;

/** Reason for which one attempt failed. */
export interface Refusal {
  /** Empty if not read. `origin`, `service`, `unserved`, `busy`, `hello`, ...; local causes: `network`, `blocked`, `proxy`, `timeout`. */
  readonly code: string;
  /** The reason as a sentence without a full stop. */
  readonly title: string;
  /**
   * Reaction: another attempt after the back-off, or, before the stream exists, after a growing pause; in version 3 also
   * the end of the stream, or version 2.
   */
  readonly action: 'retry' | 'halt' | 'end' | 'fallback';
  /** Pause in ms that the server asks for; 0 without one. */
  readonly after: number;
}

/** Builds a refusal without a pause. */
export function local(code: string, title: string, action: Refusal['action'] = 'retry'): Refusal {
  return { code, title, action, after: 0 };
}

/** Data that no sender has written: a proxy has changed or mixed them. The annotation lets the build drop unused objects. */
export const DAMAGED = /* @__PURE__ */ local('frame', 'a proxy has damaged the data');

/** A server without version 3. */
export const NO_VERSION_3 = /* @__PURE__ */ local('version', 'no version 3: start the server with --max-version 3', 'fallback');

/** Members of a refusal frame, and of the body of a refused request. */
interface Problem {
  readonly code: string;
  readonly title: string;
  readonly do: string;
  readonly after?: number | undefined;
}

/** Converts a refusal of a server with version 3. */
export function fromProblem({ code, title, do: action, after = 0 }: Problem): Refusal {
  return { code, title, action: actionOf(action), after: Math.min(MAX_PAUSE, after) };
}

/** Parts of a response that classify a refusal. */
export interface RefusedResponse {
  readonly status: number;
  readonly contentType: string | null;
  readonly retryAfter: string | null;
  /** Body; empty unless the content type is text. */
  readonly text: string;
}

/** Returns whether the response can be one of an edge, so that its text is the reason. */
export function isReadable(contentType: string | null): boolean {
  return /^(text\/plain|application\/problem\+json)\b/.test(contentType ?? '');
}

/**
 * Classifies a response other than 200. Refusals of an edge are problem objects (RFC 9457) if it serves wire version 3, and
 * otherwise short texts; other responses come from a proxy. Throws for malformed JSON.
 */
export function refusalOf({ status, contentType, retryAfter, text }: RefusedResponse): Refusal {
  const after = Math.min(MAX_PAUSE, 1000 * (Number(retryAfter) || 0));
  let isOwn = isReadable(contentType);
  if (isOwn && contentType?.includes('json')) {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === 'string' && typeof problem.title === 'string') return fromProblem({ ...problem, after: problem.after ?? after });
    isOwn = false;
  }
  const title = (isOwn && text.split('\n', 1)[0]?.slice(0, MAX_TITLE)) || `HTTP status ${status}`;
  const code = status === 429 ? 'busy' : (isOwn && codeOf(status, title)) || (status === 503 ? 'unavailable' : 'proxy');
  const action = ['origin', 'service', 'hello'].includes(code) ? 'halt' : 'retry';
  return { code, title, action, after };
}

/** Returns the code for a text of an edge of wire version 2; undefined for an unknown status. */
function codeOf(status: number, title: string): string | undefined {
  if (status === 503) {
    if (/^(unserved|no application)$/.test(title)) return 'unserved';
    return /drain/.test(title) ? 'draining' : /busy|too many/.test(title) ? 'busy' : 'unavailable';
  }
  return { 400: 'hello', 403: 'origin', 404: 'service', 405: 'service', 421: 'service', 500: 'unavailable' }[status];
}
