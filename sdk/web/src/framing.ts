/**
 * Cuts text into frames, one per line, and writes lines. Knows no frame types.
 * Used by every transport.
 */
import { MAX_FRAME } from './frames.js';

/** Collects pieces of a response or message and hands out whole lines. */
export class Lines {
  /** The unterminated rest, never longer than `maxFrame` plus a carriage return. */
  #rest = '';
  #corrupt = false;

  constructor(readonly maxFrame = MAX_FRAME) {}

  /** Adds a piece; returns the frames it completes (CRLF tolerated). Look at `corrupt` afterwards. */
  push(piece: string): string[] {
    const frames: string[] = [];
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const frame = line.replace(/\r$/, '');
      this.#corrupt ||= frame.length > this.maxFrame;
      if (this.#corrupt) return frames;
      frames.push(frame);
    }
    this.#corrupt = this.#rest.replace(/\r$/, '').length > this.maxFrame;
    return frames;
  }

  /** A frame was too long: nothing that follows can be cut. What was cut before it stands. */
  get corrupt(): boolean {
    return this.#corrupt;
  }
}

/** Frames as lines. */
export function joinLines(frames: readonly string[]): string {
  return frames.map((frame) => `${frame}\n`).join('');
}
