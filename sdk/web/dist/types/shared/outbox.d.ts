/**
 * Unacknowledged messages of one tab of a shared stream, with the numbers of the stream as far as the tab has them, so
 * that a leaving tab can upload its messages itself: browsers end the worker with its last tab. Pure. Used by the tab.
 */
export declare class TabOutbox {
    #private;
    /** Adds a valid message and returns the number of the send. */
    push(text: string): number;
    /** Records the number of a message. */
    onQueued(of: number, at: number): void;
    /** Records whether other tabs send, and else the number of the next message. */
    onAlone(at: number | null): void;
    /** Removes a message that is acknowledged or rejected. */
    settle(of: number): void;
    /** Sends that are not settled, the oldest first. */
    pending(): [number, string][];
    /** Returns the frames of all messages with known numbers, at most `room` characters with line ends. */
    finalFrames(room: number): string[];
}
