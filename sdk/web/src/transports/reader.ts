/** Reader of received bytes of version 3, and the type of frames in both versions. Used by the transports. */
import { decodeFrame3, FrameSplitter, type Frame3 } from '../frames3.js';

/** Frame as the stream machine accepts it: text of version 2, or decoded. */
export type InFrame = string | Frame3;

/** Reader of version 3. Mirrors `Lines`. */
export class Frames {
  corrupt = false;
  #splitter = new FrameSplitter();

  /** Appends a piece and returns the completed frames. Check `corrupt` afterwards. */
  push(piece: Uint8Array): Frame3[] {
    const frames: Frame3[] = [];
    for (const raw of this.#splitter.push(piece)) {
      const frame = decodeFrame3(raw);
      this.corrupt ||= typeof frame === 'string';
      if (typeof frame === 'string') break;
      frames.push(frame);
    }
    this.corrupt ||= this.#splitter.refused !== null;
    return frames;
  }

  /** True if no frame is unfinished. */
  get isEmpty(): boolean {
    return this.#splitter.isEmpty;
  }
}
