/** Incremental splitter: accepts text in arbitrary pieces and returns complete lines. */
export declare class Lines {
    #private;
    readonly maxFrame: number;
    /** True after a frame longer than `maxFrame`. Frames returned before remain valid; later input is ignored. */
    corrupt: boolean;
    constructor(maxFrame?: number);
    /** Appends a piece and returns the completed frames; CRLF counts as a line end. Check `corrupt` afterwards. */
    push(piece: string): string[];
}
/** Joins frames into lines. */
export declare function joinLines(frames: readonly string[]): string;
