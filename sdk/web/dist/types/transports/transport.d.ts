/** The one interface of all transports. They carry frames and know nothing of streams. */
import type { TransportOutcome } from '../stream/types.js';
/** A transport that was opened; it reports to its `Listener` until it ended or was closed. */
export interface TransportHandle {
    /** Writes frames; an HTTP transport carries only those it was opened with. */
    write(frames: readonly string[]): void;
    /** Closes it; nothing more is reported. */
    close(): void;
}
/**
 * Told what comes together: frames, and `null` or how the transport ended behind them. `wait`: ms that an
 * unavailable server asks for. No frames and `null`: the transport is open.
 */
export type Listener = (frames: readonly string[], outcome: TransportOutcome | null, wait?: number) => void;
