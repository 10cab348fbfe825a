/** WebSocket transport: text messages of whole lines in both directions. Used by the driver. */
import { Lines } from '../framing.js';
import type { Listener, TransportHandle } from './transport.js';

/** Target size of a WebSocket text in characters, as servers bound it; a longer frame is sent alone. */
const MAX_TEXT = 64 * 1024;

/** Opens a WebSocket, which accepts frames after the listener reported the opening. */
export function openWebSocket(url: string, listener: Listener): TransportHandle {
  const socket = newWebSocket(url);
  let closed = false;
  const close = (): void => {
    closed = true;
    socket?.close();
  };
  const fail = (): void => {
    if (closed) return;
    close();
    listener([], 'failed');
  };
  const write = (frames: readonly string[]): void => {
    // A closed socket discards frames.
    for (const text of batchFrames(frames)) socket?.send(text);
  };
  if (!socket) {
    queueMicrotask(fail);
    return { close };
  }
  socket.onopen = () => {
    if (!closed) listener([], null);
  };
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (closed) return;
    if (typeof event.data !== 'string') return fail();
    const lines = new Lines();
    const frames = lines.push(event.data);
    if (frames.length > 0) listener(frames, null);
    if (lines.corrupt) fail();
  };
  socket.onclose = socket.onerror = fail;
  return { write, close };
}

/** Null where the platform has no WebSocket, or forbids this one: that kind counts as failed. */
function newWebSocket(url: string): WebSocket | null {
  try {
    return new WebSocket(url, 'minerva.2');
  } catch {
    return null;
  }
}

/** Joins frames into WebSocket texts of at most MAX_TEXT characters, or one longer frame. */
export function batchFrames(frames: readonly string[]): string[] {
  const texts: string[] = [];
  let text = '';
  for (const frame of frames) {
    if (text && text.length + frame.length > MAX_TEXT) {
      texts.push(text);
      text = '';
    }
    text += `${frame}\n`;
  }
  return text ? [...texts, text] : texts;
}
