/** Reader of received bytes of version 3, and the type of frames in both versions. Used by the transports. */
import { type Frame3 } from '../frames3.js';
/** Frame as the stream machine accepts it: text of version 2, or decoded. */
export type InFrame = string | Frame3;
/** Reader of version 3. Mirrors `Lines`. */
export declare class Frames {
    #private;
    corrupt: boolean;
    /** Appends a piece and returns the completed frames. Check `corrupt` afterwards. */
    push(piece: Uint8Array): Frame3[];
    /** True if no frame is unfinished. */
    get isEmpty(): boolean;
}
