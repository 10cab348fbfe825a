/**
 * Compressed runs of wire version 3, inflated by the platform. Later frames of the transport wait for the end of the run;
 * the caller keeps them. Not yet used by the client.
 */
import { FrameSplitter, concat, declaredLength, type RawFrame, type RefusalCode } from './frames3.js';

/** True if the platform inflates raw deflate streams. */
export function canInflate(): boolean {
  try {
    new DecompressionStream('deflate-raw');
    return true;
  } catch {
    return false;
  }
}

/** Inflates the body of a compressed frame into its frames; a code if the run or a frame in it is invalid. */
export async function inflateRun(body: Uint8Array, maxMessage?: number): Promise<RawFrame[] | RefusalCode> {
  const declared = declaredLength(body, maxMessage);
  if (typeof declared === 'string') return declared;
  const plain = await inflate(body.subarray(declared[1]), declared[0]);
  if (plain === null) return 'frame';
  const splitter = new FrameSplitter(maxMessage);
  const frames = splitter.push(plain);
  // The first fault counts, in the order of the frames.
  if (!frames.every(({ kind }) => 'NLmb'.includes(kind))) return 'frame';
  return splitter.refused ?? (splitter.isEmpty ? frames : 'frame');
}

/** Inflates exactly `length` bytes; null if the stream is damaged, or longer or shorter, or input is left. */
async function inflate(stream: Uint8Array, length: number): Promise<Uint8Array | null> {
  const { readable, writable } = new DecompressionStream('deflate-raw');
  const writer = writable.getWriter();
  // Errors are reported by the reader.
  const written = [writer.write(stream as Uint8Array<ArrayBuffer>), writer.close()];
  for (const promise of written) promise.catch(() => undefined);
  const reader = readable.getReader();
  const chunks: Uint8Array[] = [];
  let inflated = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return inflated === length ? concat(chunks) : null;
      chunks.push(value);
      inflated += value.length;
      if (inflated > length) {
        await reader.cancel();
        return null;
      }
    }
  } catch {
    return null;
  }
}
