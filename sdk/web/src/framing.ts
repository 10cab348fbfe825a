/**
 * Cuts text into frames, one per line, and writes lines. Knows no frame types.
 * Used by every transport.
 */
import { MAX_FRAME } from './frames.js';

/** What came cannot be cut into frames: a line is too long. */
export class FrameCorruption extends Error {
  override readonly name = 'FrameCorruption';
}

/** Collects pieces of a response or message and hands out whole lines. */
export class Lines {
  /** The unterminated rest, never longer than `maxFrame` plus a carriage return. */
  #rest = '';

  constructor(readonly maxFrame = MAX_FRAME) {}

  /** Adds a piece; returns the frames it completes (CRLF tolerated). Throws FrameCorruption. */
  push(piece: string): string[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    const frames = lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
    const unfinished = this.#rest.endsWith('\r') ? this.#rest.length - 1 : this.#rest.length;
    if (unfinished > this.maxFrame || frames.some((frame) => frame.length > this.maxFrame)) {
      throw new FrameCorruption(`a frame is longer than ${this.maxFrame} bytes`);
    }
    return frames;
  }
}

/** Frames as lines. */
export function joinLines(frames: readonly string[]): string {
  return frames.map((frame) => `${frame}\n`).join('');
}
