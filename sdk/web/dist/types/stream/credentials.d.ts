import type { OpenerContext } from './opener.js';
import type { ProblemReport } from './problem_report.js';
import type { TransportFactory } from './transport_factory.js';
/** Age in ms up to which a token serves the hellos of a stream that the server has not accepted. */
export declare const FRESH_TIME = 30000;
/** Time in ms after which a call of the page without a result may be repeated. */
export declare const CALL_TIMEOUT = 30000;
export declare class Credentials {
    #private;
    readonly context: OpenerContext;
    readonly factory: TransportFactory;
    readonly problem: ProblemReport;
    /** A call of the page is under way until this time, unless its result comes before. */
    callUntil: number;
    constructor(context: OpenerContext, factory: TransportFactory, problem: ProblemReport);
    /** False while a hello that creates the stream, or takes it over, waits for a token; calls the page if due. */
    isReady(now: number): boolean;
    /** Calls the page, unless a call is under way. */
    call(now: number): void;
    /** Accepts the result of a call. The server repeats its request if no token follows. */
    onToken(cred: unknown, now: number): void;
}
