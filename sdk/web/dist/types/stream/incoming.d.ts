import { type Received } from '../window/receive_window.js';
export declare class Incoming {
    #private;
    /** The server does not know all that this side has. */
    sackDue: boolean;
    receive(number: number, text: string): Received;
    /** The next string for the application. */
    pop(): string | undefined;
    /** False: no change. */
    hold(held: boolean): boolean;
    /** A SACK is due and may be sent. */
    get mayAck(): boolean;
    /** The SACK text to show now. */
    takeSack(): string;
}
