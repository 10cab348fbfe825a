// Fault-injecting HTTP proxy between browser and edge: treats WebSockets as websocket_faults.mjs describes, buffers
// responses, answers as a captive portal, and cuts connections at a fixed age. The proxy also serves test pages, so that
// pages and edge share one origin, and counts connections and requests.
import { createHash } from 'node:crypto';
import { createServer, request as forward } from 'node:http';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerUpgrade, HANDSHAKE_FAULTS, relayUpgrade } from './websocket_faults.mjs';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** Scripts served from dist/, independent of the build embedded in the edge. */
const SCRIPTS = ['client.js', 'client3.js', 'shared.js', 'shared_worker.js', 'worker.js', 'mux.mjs', 'qan.mjs', 'session.mjs', 'files.mjs'];
const LOGIN_PAGE = '<!doctype html><title>Log in</title><form method=post><button>Accept</button></form>';
const BUILD = Object.fromEntries(SCRIPTS.map((name) => [`/_minerva/${name}`, `../../sdk/web/dist/${name}`]));

export class FaultProxy {
  /** Handling of WebSockets: `pass`, or a fault of websocket_faults.mjs. */
  websocket = 'pass';
  /** Bytes of a response that are buffered: 0 for none, Infinity for the whole response. */
  buffer = 0;
  /** Answers every request and WebSocket with a login page, as a captive portal does. */
  portal = false;
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
    // As nginx; the default of 5 s would close idle connections of pages.
    proxy.#server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => proxy.#onRequest(request, response));
    proxy.#server.on('upgrade', (request, socket, head) => proxy.#onUpgrade(request, socket, head));
    proxy.#server.on('connection', (socket) => proxy.#onConnection(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Removes all faults and resets the counts. */
  clear() {
    Object.assign(this, { websocket: 'pass', buffer: 0, portal: false, hold: false, refuseWorkers: false, workerDelay: 0 });
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
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (socket.isCounted) this.#open -= 1;
    });
    socket.on('error', () => {});
  }

  #onRequest(request, response) {
    const path = request.url.split(/[?#]/)[0];
    // Connections of WebSockets are not counted, nor before the upgrade.
    if (!request.socket.isCounted) {
      request.socket.isCounted = true;
      this.#open += 1;
      this.mostConnections = Math.max(this.mostConnections, this.#open);
    }
    if (this.portal) return void response.setHeader('content-type', 'text/html').end(LOGIN_PAGE);
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
    const writeHead = () => response.headersSent || response.writeHead(answer.statusCode, answer.headers);
    const flush = () => {
      writeHead();
      response.write(Buffer.concat(held.splice(0)));
    };
    if (buffer === 0) {
      writeHead();
      response.flushHeaders();
    }
    answer.on('data', (piece) => {
      held.push(piece);
      if (held.reduce((sum, { length }) => sum + length, 0) >= buffer) flush();
    });
    answer.on('end', () => {
      flush();
      response.end();
    });
    answer.on('error', () => response.destroy());
    answer.on('aborted', () => response.destroy());
  }

  #onUpgrade(request, socket, head) {
    this.upgrades += 1;
    if (socket.isCounted) this.#open -= 1;
    socket.isCounted = false;
    if (request.url === '/echo') return this.#echo(request, socket);
    const how = this.portal ? 'page' : this.websocket;
    if (HANDSHAKE_FAULTS.includes(how)) return answerUpgrade(how, socket);
    const { close, upstream } = relayUpgrade(how, { request, socket, head, port: this.port });
    this.#sockets.add(upstream);
    upstream.on('close', () => this.#sockets.delete(upstream));
    if (this.cutWebSocketAfter < Infinity) setTimeout(close, this.cutWebSocketAfter).unref();
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
