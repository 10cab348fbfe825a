/**
 * Opens transports and writes to them: hellos, messages, SACKs and resets, as outputs for the driver. The transport
 * policy decides when; received frames and closed transports belong to the stream machine, the only caller.
 */
import type { OutFrame } from '../frames.js';
import type { ConnectionState } from './connection_state.js';
import type { ReliableChannel } from './reliable_channel.js';
import { TransportFactory } from './transport_factory.js';
import type { TransportPolicy } from './transport_policy.js';
import type { Transports } from './transports.js';
import { Uploads } from './uploads.js';
import type { Output, Transport } from './types.js';
/** Parts of the stream machine that the opener shares, and the outputs. */
export interface OpenerContext {
    readonly transports: Transports;
    readonly channel: ReliableChannel;
    readonly policy: TransportPolicy;
    readonly connection: ConnectionState;
    readonly outputs: Output[];
    readonly random: () => number;
    /** Called right before an HTTP request; messages sent in the call share the request. */
    readonly beforeUpload?: (() => void) | undefined;
}
export declare class Opener {
    #private;
    readonly context: OpenerContext;
    readonly factory: TransportFactory;
    readonly uploads: Uploads;
    constructor(context: OpenerContext, factory: TransportFactory);
    /** Opens or promotes a transport if the policy wants another one now. */
    openTransports(now: number): void;
    /** Writes due messages and SACKs to the carrier, or starts an upload. */
    flush(now: number): void;
    /** Returns the times at which `flush` may have something to write. */
    deadlines(): number[];
    /**
     * Returns the frames of a final upload with unacknowledged messages, at most `room` bytes, and an unconfirmed reset;
     * null if there are none.
     */
    finalUpload(room: number): OutFrame[] | null;
    /** Closes a transport without further effects. */
    close(transport: Transport): void;
    /**
     * Begins a probe, or continues one after an answer of the server. The hello has neither `eeds` nor a SACK, and no
     * messages follow, so that the primary keeps all of them. The server acknowledges and drops duplicates of message 0.
     * A proven WebSocket cannot become the primary, so another one follows.
     */
    probe(candidate: Transport, now: number): void;
}
