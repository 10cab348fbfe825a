/** What came cannot be cut into frames: a line is too long. */
export declare class FrameCorruption extends Error {
    readonly name = "FrameCorruption";
}
/** Collects pieces of a response or message and hands out whole lines. */
export declare class Lines {
    #private;
    readonly maxFrame: number;
    constructor(maxFrame?: number);
    /** Adds a piece; returns the frames it completes (CRLF tolerated). Throws FrameCorruption. */
    push(piece: string): string[];
}
/** Frames as lines. */
export declare function joinLines(frames: readonly string[]): string;
