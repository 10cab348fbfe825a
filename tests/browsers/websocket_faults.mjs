// Treatment of WebSockets by faulty proxies. Faults of the handshake: `refuse` (403), `hang` (no response), `reset` (TCP
// RST), `page` (200 with a page). Faults of the relay: `strip` (passed on without the headers of the upgrade), `mute`
// (discards all data of the client), `deaf` (discards the data of the client after the first frames), `corrupt` (damages
// data in both directions). Used by the fault proxy.
import { connect } from 'node:net';

export const HANDSHAKE_FAULTS = ['refuse', 'hang', 'reset', 'page'];
/** Pieces of client data that a deaf WebSocket passes. */
const DEAF_AFTER = 2;
/** Of so many pieces of data, a corrupting proxy damages one. */
const CORRUPT_EVERY = 3;
const PAGE = '<!doctype html><title>Welcome</title>';

/** Answers a handshake without a server. */
export function answerUpgrade(how, socket) {
  if (how === 'refuse') socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  if (how === 'reset') socket.resetAndDestroy();
  if (how === 'page') socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${PAGE.length}\r\n\r\n${PAGE}`);
}

/** Relays a WebSocket to the server on `port`; returns the upstream connection, and a function that closes both. */
export function relayUpgrade(how, { request, socket, head, port }) {
  const upstream = connect(port, '127.0.0.1');
  for (const each of [socket, upstream]) each.setNoDelay(true);
  const isStripped = (name) => how === 'strip' && /^(upgrade|connection)$/i.test(name);
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = request.rawHeaders.slice(i, i + 2);
    if (!isStripped(name)) lines.push(`${name}: ${value}`);
  }
  if (how === 'strip') lines.push('Connection: close');
  upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
  upstream.write(head);
  let pieces = 0;
  socket.on('data', (piece) => {
    if (how === 'mute' || (how === 'deaf' && pieces >= DEAF_AFTER)) return;
    pieces += 1;
    upstream.write(how === 'corrupt' ? damage(piece, pieces) : piece);
  });
  let answers = 0;
  // The first answer is the response to the handshake.
  upstream.on('data', (piece) => socket.write(how === 'corrupt' && answers++ > 0 ? damage(piece, answers) : piece));
  const close = () => {
    socket.destroy();
    upstream.destroy();
  };
  for (const each of [socket, upstream]) each.on('close', close).on('error', close);
  return { close, upstream };
}

/** Sets the highest bit of a byte in some pieces: invalid as UTF-8 in a text, and as a header of a frame. */
function damage(piece, count) {
  if (count % CORRUPT_EVERY !== 0) return piece;
  const damaged = Buffer.from(piece);
  damaged[count % piece.length] ^= 0x80;
  return damaged;
}
