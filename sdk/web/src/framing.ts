/**
 * Line framing: splits text into frames at line ends and joins frames into lines. Independent of frame types.
 * Used by every transport.
 */
import { MAX_FRAME } from './frames.js';

/** Incremental splitter: accepts text in arbitrary pieces and returns complete lines. */
export class Lines {
  /** Unterminated last line, at most `maxFrame` characters plus a carriage return. */
  #rest = '';
  /** True after a frame longer than `maxFrame`. Frames returned before remain valid; later input is ignored. */
  corrupt = false;

  constructor(readonly maxFrame = MAX_FRAME) {}

  /** Appends a piece and returns the completed frames; CRLF counts as a line end. Check `corrupt` afterwards. */
  push(piece: string): string[] {
    const frames: string[] = [];
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const frame = line.replace(/\r$/, '');
      this.corrupt ||= frame.length > this.maxFrame;
      if (this.corrupt) return frames;
      frames.push(frame);
    }
    this.corrupt = this.#rest.replace(/\r$/, '').length > this.maxFrame;
    return frames;
  }
}

/** Joins frames into lines. */
export function joinLines(frames: readonly string[]): string {
  return frames.map((frame) => `${frame}\n`).join('');
}
