// The demo page: a chat on one Minerva stream, with controls that break the connection and figures that show that no
// message is lost. sdk/app/examples/chat/README.md describes the protocol of the chat.
'use strict';

(() => {
  /** Display names of the transport kinds. */
  const KINDS = { 'websocket': 'WebSocket', 'http-stream': 'HTTP stream', 'long-poll': 'long-poll' };
  /** Bounds of the lines and events on the page, which may stay open for days. */
  const MAX_LINES = 400;
  const MAX_LOG = 50;
  /** Interval in ms of steady pings. */
  const PING_EVERY = 100;
  /** Pings shown in the strip, six seconds' worth. */
  const STRIP_LENGTH = 60;
  /** Round-trip time in ms above which the strip marks a ping as slow. */
  const SLOW_MS = 250;

  const $ = (id) => document.getElementById(id);
  const switches = [...document.querySelectorAll('[data-switch]')];
  const room = /^#[a-z0-9_-]{1,32}$/.test(location.hash) ? location.hash.slice(1) : 'lobby';
  const requestedKind = new URLSearchParams(location.search).get('transport');

  /** Transport kind selected by the URL or a button; `auto` for the best one that works. */
  let kind = Object.hasOwn(KINDS, requestedKind ?? '') ? requestedKind : 'auto';
  let stream = null;
  let chat = null;
  let pings = null;
  let pingTimer = 0;

  function show(id, value) {
    const text = String(value);
    if ($(id).textContent !== text) $(id).textContent = text;
  }

  function element(tag, className, text) {
    const created = document.createElement(tag);
    if (className) created.className = className;
    if (text !== undefined) created.textContent = text;
    return created;
  }

  /** Appends an item, drops items beyond `limit`, and scrolls to the end unless the user has scrolled back. */
  function append(list, item, limit) {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.append(item);
    while (list.children.length > limit) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  function logEvent(text) {
    const item = element('li');
    item.append(element('time', '', new Date().toLocaleTimeString()), text);
    append($('log'), item, MAX_LOG);
  }

  function showProblem(text) {
    show('problem', text);
    $('problem').hidden = text === '';
  }

  // The chat.

  class Chat {
    constructor() {
      this.name = '';
      /** Member of the room. Before the join completes, own lines are queued. */
      this.joined = false;
      this.queued = [];
      /** Own lines in flight with their list items, oldest first. */
      this.inFlight = [];
      /** Lines refused by a restarted chat, sent again after the join. */
      this.refused = [];
      this.sent = 0;
      this.returned = 0;
      this.mismatches = 0;
      /** Keys of shown lines, so that a history after a restart shows no line twice. */
      this.shown = new Set();
    }

    join() {
      this.joined = false;
      sendMessage({ t: 'join', room, name: $('name').value.trim() || 'guest' });
    }

    sendLine(text) {
      const item = this.showLine({ name: this.name || $('name').value, text }, 'own waiting');
      this.sent += 1;
      if (this.joined) this.post({ text, item });
      else this.queued.push({ text, item });
      this.showCheck();
    }

    post(line) {
      this.inFlight.push(line);
      sendMessage({ t: 'say', text: line.text });
    }

    recv(message) {
      switch (message.t) {
        case 'history': return this.onHistory(message);
        case 'names': return show('names', message.names.join(', '));
        case 'joined': return this.onMembers(`${message.name} joined`, message.name, true);
        case 'left': return this.onMembers(`${message.name} left`, message.name, false);
        case 'said': return this.onSaid(message);
        case 'pong': return pings.recv(message.n);
        case 'missed': return this.onMissed(message);
        case 'rejoin':
          this.note('The chat application was restarted and lost its lines; the stream continues.');
          logEvent('application restarted');
          return this.join();
        case 'error': return this.onError(message);
      }
    }

    onHistory(message) {
      this.name = message.name;
      this.joined = true;
      for (const line of message.lines) if (!this.shown.has(key(line))) this.showLine(line, '');
      // Refusals precede the history, so sending the refused lines first keeps the order.
      for (const line of [...this.refused.splice(0), ...this.queued.splice(0)]) this.post(line);
    }

    onMembers(text, name, present) {
      this.note(text);
      const names = $('names').textContent.split(', ').filter((each) => each !== '' && each !== name);
      if (present) names.push(name);
      show('names', names.sort().join(', '));
    }

    onSaid(message) {
      if (message.name !== this.name) return void this.showLine(message, '');
      const line = this.inFlight.shift();
      if (!line || line.text !== message.text) {
        this.mismatches += 1;
        this.showLine(message, 'own');
      } else {
        this.returned += 1;
        this.shown.add(key(message));
        line.item.classList.remove('waiting');
        // Lines of other members may precede this one in the room.
        const isLast = line.item === $('lines').lastElementChild;
        if (!isLast && this.inFlight.length === 0) append($('lines'), line.item, MAX_LINES);
      }
      this.showCheck();
    }

    onMissed(message) {
      this.note(`${message.count} messages were skipped because this page was too slow`);
      for (const { item } of this.inFlight.splice(0)) item.classList.remove('waiting');
      this.sent = this.returned;
      this.showCheck();
    }

    onError(message) {
      if (!this.joined && this.inFlight.length > 0) this.refused.push(this.inFlight.shift());
      else showProblem(`The chat reports: ${message.message}`);
    }

    showLine(line, className) {
      const item = element('li', className);
      item.append(element('span', 'who', line.name), line.text);
      if (line.at !== undefined) this.shown.add(key(line));
      append($('lines'), item, MAX_LINES);
      return item;
    }

    note(text) {
      append($('lines'), element('li', 'note', text), MAX_LINES);
    }

    /** Shows whether each own line has returned exactly once and in order. */
    showCheck() {
      const { sent, returned, mismatches } = this;
      const rest = sent > returned ? '; the others are in flight.' : '.';
      const progress = `${returned} of ${sent} own lines returned, each once and in order${rest}`;
      const text = mismatches > 0 ? `${mismatches} own lines returned out of order or altered.` : progress;
      show('check', sent === 0 ? 'No own lines yet.' : text);
      Object.assign($('check').dataset, { ok: mismatches === 0, sent, returned });
    }
  }

  /** Identifies a line of the room. */
  function key(line) {
    return `${line.at} ${line.name} ${line.text}`;
  }

  function sendMessage(message) {
    // Rejected only after the end of the stream or with a full send buffer.
    stream.send(Minerva.toJson(message)).then(showCounters, (error) => showProblem(error.message));
    showCounters();
  }

  // Pings.

  class Pings {
    constructor() {
      this.sent = 0;
      this.pongs = 0;
      /** Expected number of the next pong. */
      this.next = 0;
      this.gaps = 0;
      this.duplicates = 0;
      this.bars = [];
      this.show();
    }

    send() {
      const bar = element('i', 'open');
      this.bars.push({ bar, n: this.sent, at: performance.now() });
      $('strip').append(bar);
      while ($('strip').children.length > STRIP_LENGTH) $('strip').firstElementChild.remove();
      sendMessage({ t: 'ping', n: this.sent++ });
      this.show();
    }

    recv(n) {
      this.pongs += 1;
      if (n < this.next) this.duplicates += 1;
      else {
        this.gaps += n - this.next;
        this.next = n + 1;
      }
      while (this.bars.length > 0 && this.bars[0].n <= n) {
        const { bar, at } = this.bars.shift();
        const ms = performance.now() - at;
        bar.className = ms > SLOW_MS ? 'slow' : '';
        bar.style.height = `${Math.min(100, 8 + Math.sqrt(ms) * 5)}%`;
      }
      this.show();
    }

    show() {
      show('pings', this.sent);
      show('pongs', this.pongs);
      for (const id of ['gaps', 'duplicates']) {
        show(id, this[id]);
        $(id).dataset.bad = this[id] > 0;
      }
    }
  }

  function setPinging(on) {
    clearInterval(pingTimer);
    if (on) pingTimer = setInterval(() => pings.send(), PING_EVERY);
    $('ping-toggle').setAttribute('aria-pressed', on);
    show('ping-toggle', on ? 'Stop the pings' : 'Steady pings');
  }

  // The stream.

  function showCounters() {
    for (const [id, value] of Object.entries(stream.counters)) show(id, value);
  }

  function showStatus() {
    const { state, transport } = stream;
    Object.assign($('status').dataset, { state, transport: transport ?? '' });
    show('state', state === 'open' ? 'connected' : state);
    $('by').hidden = transport === null;
    show('transport', KINDS[transport] ?? '');
    for (const button of switches) {
      button.setAttribute('aria-pressed', button.dataset.switch === (kind === 'auto' ? transport : kind));
      button.disabled = state === 'ended';
    }
    for (const id of ['cut', 'send', 'burst', 'ping-toggle']) $(id).disabled = state === 'ended';
    $('restart').hidden = state !== 'ended';
    $('cut').hidden = state === 'ended';
    showCounters();
  }

  function start() {
    stream = new Minerva.MinervaStream('/_minerva/', { transport: kind });
    chat = new Chat();
    pings = new Pings();
    showProblem('');
    $('strip').replaceChildren();
    stream.onmessage = (event) => {
      chat.recv(JSON.parse(event.data));
      showCounters();
    };
    stream.ontransport = (event) => {
      const { kind: current, why } = event.data;
      logEvent(current ? `${KINDS[current]} carries the stream (${why})` : 'no transport: reconnecting');
      showStatus();
    };
    stream.onstate = showStatus;
    stream.onend = (event) => {
      setPinging(false);
      logEvent(`the stream has ended: ${event.data.reason}`);
      showProblem(`The stream has ended: ${event.data.reason}`);
      showStatus();
    };
    chat.join();
    chat.showCheck();
    showStatus();
  }

  function storedName() {
    try {
      return localStorage.getItem('minerva-name');
    } catch {
      return null;
    }
  }

  $('send-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('text').value.trim();
    if (text !== '') chat.sendLine(text);
    $('text').value = '';
  });
  $('name').addEventListener('change', () => {
    try {
      localStorage.setItem('minerva-name', $('name').value.trim());
    } catch {
      // Storage is absent or forbidden; the name lasts for this visit.
    }
    if (stream.state !== 'ended') chat.join();
  });
  for (const button of switches) {
    button.addEventListener('click', () => {
      kind = button.dataset.switch;
      logEvent(`switching to ${KINDS[kind]}`);
      stream.switchTo(kind);
      showStatus();
    });
  }
  $('cut').addEventListener('click', () => {
    logEvent('connection cut by the user');
    stream.cut();
  });
  $('restart').addEventListener('click', start);
  $('ping-toggle').addEventListener('click', () => {
    setPinging($('ping-toggle').getAttribute('aria-pressed') !== 'true');
  });
  $('burst').addEventListener('click', () => {
    const first = chat.sent + 1;
    for (let i = 0; i < 100; i += 1) chat.sendLine(`line ${first + i}`);
  });

  show('room', room);
  $('name').value = storedName() || `guest-${100 + Math.floor(Math.random() * 900)}`;
  start();
})();
