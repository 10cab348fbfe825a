/**
 * Pause in ms after the first refusal that only an operator or the page can lift; each further one doubles the pause. Short,
 * because a proxy may answer in place of the edge during a deployment.
 */
export declare const MIN_HALT_TIME = 5000;
/** Longest pause in ms after refusals, and longest accepted `Retry-After`. */
export declare const MAX_PAUSE = 300000;
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
export declare function local(code: string, title: string, action?: Refusal['action']): Refusal;
/** Data that no sender has written: a proxy has changed or mixed them. The annotation lets the build drop unused objects. */
export declare const DAMAGED: Refusal;
/** A server without version 3. */
export declare const NO_VERSION_3: Refusal;
/** Members of a refusal frame, and of the body of a refused request. */
interface Problem {
    readonly code: string;
    readonly title: string;
    readonly do: string;
    readonly after?: number | undefined;
}
/** Converts a refusal of a server with version 3. */
export declare function fromProblem({ code, title, do: action, after }: Problem): Refusal;
/** Parts of a response that classify a refusal. */
export interface RefusedResponse {
    readonly status: number;
    readonly contentType: string | null;
    readonly retryAfter: string | null;
    /** Body; empty unless the content type is text. */
    readonly text: string;
}
/** Returns whether the response can be one of an edge, so that its text is the reason. */
export declare function isReadable(contentType: string | null): boolean;
/**
 * Classifies a response other than 200. Refusals of an edge are problem objects (RFC 9457) if it serves wire version 3, and
 * otherwise short texts; other responses come from a proxy. Throws for malformed JSON.
 */
export declare function refusalOf({ status, contentType, retryAfter, text }: RefusedResponse): Refusal;
export {};
