import { type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';
export declare class Receiver {
    #private;
    /** When the server is told what this side has. */
    readonly delayedAck: DelayedAck;
    /** `patient`: the SACK may wait, unless something is missing. */
    receive(number: number, text: string, patient: boolean, now: number): Received;
    /** The next string for the application. */
    pop(): string | undefined;
    /** False: no change. */
    setPaused(paused: boolean): boolean;
    /** The server does not know all that this side has, and may be told. */
    get mayAck(): boolean;
    /** The SACK text to show now. */
    takeSack(now?: number): string;
}
