// A proxy between browser and edge that behaves as badly as those of this world: it refuses, hangs, mutes or cuts
// WebSockets, holds responses back until they end, and cuts what lives too long. It also serves pages of
// its own, so that a page and the edge have one origin, and counts.
import { createHash } from 'node:crypto';
import { createServer, request as forward } from 'node:http';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** The committed build as it is now, whatever the edge was built with. */
const BUILD = { '/_minerva/client.js': '../../sdk/web/dist/client.js', '/_minerva/shared.js': '../../sdk/web/dist/shared.js' };

export class Proxy {
  /** What becomes of a WebSocket: `pass`, `refuse`, `hang` (no answer) or `mute` (opens; nothing passes). */
  websocket = 'pass';
  /** Responses of transports are held back until they end. */
  buffer = false;
  /** ms after which what lives is cut; Infinity: never. */
  cutWebSocketAfter = Infinity;
  cutHttpAfter = Infinity;
  /** Bodies of posts that came, and WebSockets asked for. */
  posts = [];
  upgrades = 0;
  #pages;
  #server;
  #sockets = new Set();
  #open = 0;
  /** HTTP connections, WebSockets not counted, that were open at a time. */
  mostConnections = 0;

  /** `pages`: texts of HTML by path. */
  static async start(port, pages = {}) {
    const proxy = new Proxy();
    proxy.port = port;
    proxy.#pages = pages;
    proxy.#server = createServer((request, response) => proxy.#onRequest(request, response));
    proxy.#server.on('upgrade', (request, socket, head) => proxy.#onUpgrade(request, socket, head));
    proxy.#server.on('connection', (socket) => proxy.#onConnection(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Back to a good network; what is open is cut if `cut`. */
  clear() {
    Object.assign(this, { websocket: 'pass', buffer: false, cutWebSocketAfter: Infinity, cutHttpAfter: Infinity });
    Object.assign(this, { posts: [], upgrades: 0, mostConnections: 0 });
  }

  /** Breaks all that is open. */
  cutAll() {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop() {
    this.cutAll();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onConnection(socket) {
    this.#sockets.add(socket);
    this.#open += 1;
    this.mostConnections = Math.max(this.mostConnections, this.#open);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (!socket.upgraded) this.#open -= 1;
    });
    socket.on('error', () => {});
  }

  #onRequest(request, response) {
    const path = request.url.split(/[?#]/)[0];
    if (path in this.#pages) return void response.setHeader('content-type', 'text/html').end(this.#pages[path]);
    if (path in BUILD) return void response.setHeader('content-type', 'text/javascript').end(readFileSync(at(BUILD[path])));
    if (path === '/favicon.ico') return void response.writeHead(204).end();
    const { method, url, headers } = request;
    const upstream = forward({ host: '127.0.0.1', port: this.port, method, path: url, headers, agent: false });
    let body = '';
    request.on('data', (piece) => (body += piece.toString('latin1')));
    request.on('end', () => this.posts.push(body));
    request.pipe(upstream);
    upstream.on('response', (answer) => this.#pass(answer, response));
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    if (this.cutHttpAfter < Infinity) setTimeout(() => response.destroy(), this.cutHttpAfter).unref();
  }

  #pass(answer, response) {
    const held = [];
    const { buffer } = this;
    if (!buffer) response.writeHead(answer.statusCode, answer.headers).flushHeaders();
    answer.on('data', (piece) => (buffer ? held.push(piece) : response.write(piece)));
    answer.on('end', () => {
      if (buffer) response.writeHead(answer.statusCode, answer.headers);
      response.end(Buffer.concat(held));
    });
    answer.on('error', () => response.destroy());
    answer.on('aborted', () => response.destroy());
  }

  #onUpgrade(request, socket, head) {
    this.upgrades += 1;
    this.#open -= 1;
    socket.upgraded = true;
    if (request.url === '/echo') return this.#echo(request, socket);
    if (this.websocket === 'refuse') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    if (this.websocket === 'hang') return;
    const mute = this.websocket === 'mute';
    const upstream = connect(this.port, '127.0.0.1');
    this.#sockets.add(upstream);
    upstream.setNoDelay(true);
    socket.setNoDelay(true);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    socket.on('data', (piece) => mute || upstream.write(piece));
    upstream.on('data', (piece) => socket.write(piece));
    const both = () => {
      socket.destroy();
      upstream.destroy();
      this.#sockets.delete(upstream);
    };
    for (const each of [socket, upstream]) each.on('close', both).on('error', both);
    if (this.cutWebSocketAfter < Infinity) setTimeout(both, this.cutWebSocketAfter).unref();
  }

  /** A bare WebSocket that sends small messages back, to compare with. */
  #echo(request, socket) {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.setNoDelay(true);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('data', (piece) => {
      if ((piece[0] & 15) !== 1) return void socket.destroy();
      const length = piece[1] & 127;
      const text = piece.subarray(6, 6 + length).map((byte, i) => byte ^ piece[2 + (i & 3)]);
      socket.write(Buffer.from([0x81, length, ...text]));
    });
  }
}
