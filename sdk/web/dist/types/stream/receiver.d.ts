import { type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';
export declare class Receiver {
    #private;
    /** Decides when the next SACK is due. */
    readonly delayedAck: DelayedAck;
    /** Accepts a message. `mayDelay` permits a delayed SACK, unless a message is missing. */
    receive(number: number, text: string, mayDelay: boolean, now: number): Received;
    /** Returns the next message for the application. */
    pop(): string | undefined;
    /** Pauses or resumes delivery; returns false if nothing changes. */
    setPaused(paused: boolean): boolean;
    /** True if received messages are unacknowledged and delivery is not paused. */
    get mayAck(): boolean;
    /** Returns the SACK text to send now and marks that text as sent. */
    takeSack(now?: number): string;
}
