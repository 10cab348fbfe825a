import { type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';
export declare class Receiver {
    #private;
    /** Decides when the next SACK is due. */
    readonly delayedAck: DelayedAck;
    /** Accepts a message. The SACK may be delayed by `maxDelay` ms, unless a message is missing. */
    receive(number: number, text: string, maxDelay: number, now: number): Received;
    /** Returns the next message for the application. */
    pop(): string | undefined;
    /** Pauses or resumes delivery; returns false if nothing changes. */
    setPaused(paused: boolean): boolean;
    /** Time at which the SACK is due; Infinity for none, and while delivery is paused. */
    get ackDueAt(): number;
    /** Returns the SACK text to send now and marks that text as sent. */
    takeSack(now?: number): string;
}
