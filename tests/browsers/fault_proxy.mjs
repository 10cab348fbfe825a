// Fault-injecting proxy between browser and edge: refuses, hangs, mutes or cuts WebSockets, buffers responses, and cuts
// connections at a fixed age. The proxy also serves test pages, so that pages and edge share one origin, and counts
// connections and requests.
import { createHash } from 'node:crypto';
import { createServer, request as forward } from 'node:http';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** Scripts served from dist/, independent of the build embedded in the edge. */
const SCRIPTS = ['client.js', 'shared.js', 'worker.js', 'mux.mjs'];
const BUILD = Object.fromEntries(SCRIPTS.map((name) => [`/_minerva/${name}`, `../../sdk/web/dist/${name}`]));

export class FaultProxy {
  /** Handling of WebSockets: `pass`, `refuse`, `hang` (no response) or `mute` (opens but discards client data). */
  websocket = 'pass';
  /** Buffers responses until their end. */
  buffer = false;
  /** Refuses the scripts of shared workers. */
  refuseWorkers = false;
  /** Delay in ms of the scripts of shared workers. */
  workerDelay = 0;
  /** Paths of received POST requests. */
  paths = [];
  /** Withholds the responses to new requests, which reach the edge. */
  hold = false;
  /** Age in ms at which connections are cut; Infinity for never. */
  cutWebSocketAfter = Infinity;
  cutHttpAfter = Infinity;
  /** Bodies of received POST requests, and the number of WebSocket upgrades. */
  posts = [];
  upgrades = 0;
  #pages;
  #server;
  #sockets = new Set();
  #open = 0;
  /** Largest number of simultaneous HTTP connections, WebSockets excluded. */
  mostConnections = 0;

  /** Starts a proxy for the edge on `port`; `pages` maps paths to HTML. */
  static async start(port, pages = {}) {
    const proxy = new FaultProxy();
    proxy.port = port;
    proxy.#pages = pages;
    proxy.#server = createServer((request, response) => proxy.#onRequest(request, response));
    proxy.#server.on('upgrade', (request, socket, head) => proxy.#onUpgrade(request, socket, head));
    proxy.#server.on('connection', (socket) => proxy.#onConnection(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Removes all faults and resets the counts. */
  clear() {
    Object.assign(this, { websocket: 'pass', buffer: false, hold: false, refuseWorkers: false, workerDelay: 0 });
    Object.assign(this, { cutWebSocketAfter: Infinity, cutHttpAfter: Infinity });
    Object.assign(this, { posts: [], paths: [], upgrades: 0, mostConnections: 0 });
  }

  /** Breaks all open connections. */
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
    const isWorker = request.headers['sec-fetch-dest'] === 'sharedworker';
    if (isWorker && this.refuseWorkers) return void response.writeHead(404).end();
    if (isWorker && this.workerDelay) return void setTimeout(() => this.#script(path, response), this.workerDelay);
    if (path in this.#pages) return void response.setHeader('content-type', 'text/html').end(this.#pages[path]);
    if (path in BUILD) return this.#script(path, response);
    if (path === '/favicon.ico') return void response.writeHead(204).end();
    const { method, url, headers } = request;
    const upstream = forward({ host: '127.0.0.1', port: this.port, method, path: url, headers, agent: false });
    this.paths.push(path);
    let body = '';
    request.on('data', (piece) => (body += piece.toString('latin1')));
    request.on('end', () => this.posts.push(body));
    request.pipe(upstream);
    const { hold } = this;
    upstream.on('response', (answer) => (hold ? answer.resume() : this.#pass(answer, response)));
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    if (this.cutHttpAfter < Infinity) setTimeout(() => response.destroy(), this.cutHttpAfter).unref();
  }

  #script(path, response) {
    response.setHeader('content-type', 'text/javascript').end(readFileSync(at(BUILD[path])));
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

  /** A bare WebSocket echo of short texts, as the reference of the latency test. */
  #echo(request, socket) {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.setNoDelay(true);
    const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.on('data', (piece) => {
      if ((piece[0] & 15) !== 1) return void socket.destroy();
      const length = piece[1] & 127;
      const text = piece.subarray(6, 6 + length).map((byte, i) => byte ^ piece[2 + (i & 3)]);
      socket.write(Buffer.from([0x81, length, ...text]));
    });
  }
}
