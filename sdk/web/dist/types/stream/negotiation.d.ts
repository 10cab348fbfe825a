/**
 * Version of the wire protocol of a stream: version 3 is requested until the server accepts or refuses it, and a server
 * without version 3 leads to version 2 once. Applies refusals that concern the stream. Used by the stream machine.
 */
import type { Opener, OpenerContext } from './opener.js';
import type { Welcome } from '../frames3.js';
import type { Refusal } from './refusal.js';
import { type TransportFactory } from './transport_factory.js';
import type { End, Transport } from './types.js';
export declare class Negotiation {
    readonly context: OpenerContext;
    readonly factory: TransportFactory;
    readonly opener: Opener;
    readonly end: (by: End['by'], reason: string, applicationLevel: boolean) => void;
    constructor(context: OpenerContext, factory: TransportFactory, opener: Opener, end: (by: End['by'], reason: string, applicationLevel: boolean) => void);
    /** Records that the server has accepted version 3 on a transport. */
    onWelcome(transport: Transport, { born, from, own }: Welcome): void;
    /** Applies a refusal that ends the stream, or leads to version 2. Returns false if it concerns the transport only. */
    onRefused({ asksReason }: Transport, { code, action }: Refusal): boolean;
    /**
     * Continues with version 2, unless the server has accepted version 3 or a queued message needs version 3. A server
     * without version 3 has created no stream.
     */
    fallBack(): boolean;
}
