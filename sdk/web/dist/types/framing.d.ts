/** Collects pieces of a response or message and hands out whole lines. */
export declare class Lines {
    #private;
    readonly maxFrame: number;
    constructor(maxFrame?: number);
    /** Adds a piece; returns the frames it completes (CRLF tolerated). Look at `corrupt` afterwards. */
    push(piece: string): string[];
    /** A frame was too long: nothing that follows can be cut. What was cut before it stands. */
    get corrupt(): boolean;
}
/** Frames as lines. */
export declare function joinLines(frames: readonly string[]): string;
