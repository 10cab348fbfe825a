/** WebSocket transport: text messages of whole lines in both directions. Used by the driver. */
import { Lines } from '../framing.js';
import { DAMAGED, local, type Refusal } from '../stream/refusal.js';
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
  let opened = false;
  const fail = (refusal: Refusal): void => {
    if (closed) return;
    close();
    listener([], 'failed', refusal);
  };
  const write = (frames: readonly string[]): void => {
    // A closed socket discards frames.
    for (const text of batchFrames(frames)) socket?.send(text);
  };
  if (!socket) {
    queueMicrotask(() => fail(REFUSED));
    return { close };
  }
  socket.onopen = () => {
    opened = true;
    if (!closed) listener([], null);
  };
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (closed) return;
    if (typeof event.data !== 'string') return fail(DAMAGED);
    const lines = new Lines();
    const frames = lines.push(event.data);
    if (frames.length > 0) listener(frames, null);
    if (lines.corrupt) fail(DAMAGED);
  };
  socket.onclose = socket.onerror = () => fail(opened ? CUT : REFUSED);
  return { write, close };
}

const CUT = local('network', 'connection cut');
/** Browsers hide the status of a refused handshake. */
const REFUSED = local('blocked', 'WebSocket refused');

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
