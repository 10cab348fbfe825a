// The demo page: a chat on one Minerva stream, and everything that shows what the stream goes through.
// The chat's protocol is described beside the chat example of the app SDK.
'use strict';

(() => {
  /** What the page calls each kind of transport. */
  const KINDS = { 'websocket': 'WebSocket', 'http-stream': 'HTTP stream', 'long-poll': 'long-poll' };
  /** Lines and events kept on the page: it may stay open for days. */
  const MAX_LINES = 400;
  const MAX_LOG = 50;
  /** ms between two steady pings. */
  const PING_EVERY = 100;
  /** Pings shown in the strip: six seconds of them. */
  const STRIP = 60;
  /** ms from which a pong counts as slow in the strip. */
  const SLOW = 250;

  const $ = (id) => document.getElementById(id);
  const switches = [...document.querySelectorAll('[data-switch]')];
  const room = /^#[a-z0-9_-]{1,32}$/.test(location.hash) ? location.hash.slice(1) : 'lobby';
  const asked = new URLSearchParams(location.search).get('transport');

  /** The kind that was asked for, or the best that works. */
  let kind = Object.hasOwn(KINDS, asked ?? '') ? asked : 'auto';
  let stream = null;
  let chat = null;
  let pings = null;
  let pingTimer = 0;

  /** Only 0x20-0x7E travel on a stream. */
  function encode(message) {
    return JSON.stringify(message).replace(/[^\x20-\x7e]/g,
      (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  }

  function show(id, value) {
    const text = String(value);
    if ($(id).textContent !== text) $(id).textContent = text;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /** Appends to a list that keeps to its end unless one has scrolled back. */
  function append(list, item, most) {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.append(item);
    while (list.children.length > most) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  function happened(text) {
    const item = element('li');
    item.append(element('time', '', new Date().toLocaleTimeString()), text);
    append($('log'), item, MAX_LOG);
  }

  function problem(text) {
    show('problem', text);
    $('problem').hidden = text === '';
  }

  // The chat.

  class Chat {
    constructor() {
      this.name = '';
      /** In the room: lines may be said. While not, they wait in `held`. */
      this.joined = false;
      this.held = [];
      /** Own lines on their way, oldest first, and the items that show them. */
      this.waiting = [];
      /** Lines that a restarted chat has refused: they are said again after the join. */
      this.refused = [];
      this.said = 0;
      this.returned = 0;
      this.wrong = 0;
      /** Lines on the page, so that a history after a restart shows none twice. */
      this.seen = new Set();
    }

    join() {
      this.joined = false;
      post({ t: 'join', room, name: $('name').value.trim() || 'guest' });
    }

    say(text) {
      const item = this.line({ name: this.name || $('name').value, text }, 'own waiting');
      this.said += 1;
      if (this.joined) this.post({ text, item });
      else this.held.push({ text, item });
      this.check();
    }

    post(line) {
      this.waiting.push(line);
      post({ t: 'say', text: line.text });
    }

    recv(message) {
      switch (message.t) {
        case 'history': return this.onHistory(message);
        case 'names': return show('names', message.names.join(', '));
        case 'joined': return this.onMembers(`${message.name} came in`, message.name, true);
        case 'left': return this.onMembers(`${message.name} left`, message.name, false);
        case 'said': return this.onSaid(message);
        case 'pong': return pings.recv(message.n);
        case 'missed': return this.onMissed(message);
        case 'rejoin':
          this.note('The chat was restarted and has forgotten its lines; the stream goes on.');
          happened('the application was restarted');
          return this.join();
        case 'error': return this.onError(message);
      }
    }

    onHistory(message) {
      this.name = message.name;
      this.joined = true;
      for (const line of message.lines) if (!this.seen.has(key(line))) this.line(line, '');
      // All that was refused was refused before this answer, so order is kept.
      for (const line of [...this.refused.splice(0), ...this.held.splice(0)]) this.post(line);
    }

    onMembers(text, name, here) {
      this.note(text);
      const names = $('names').textContent.split(', ').filter((each) => each !== '' && each !== name);
      if (here) names.push(name);
      show('names', names.sort().join(', '));
    }

    onSaid(message) {
      if (message.name !== this.name) return void this.line(message, '');
      const line = this.waiting.shift();
      if (!line || line.text !== message.text) {
        this.wrong += 1;
        this.line(message, 'own');
      } else {
        this.returned += 1;
        this.seen.add(key(message));
        line.item.classList.remove('waiting');
        // Where it stands for everybody: behind what was said before it.
        if (line.item !== $('lines').lastElementChild && this.waiting.length === 0) append($('lines'), line.item, MAX_LINES);
      }
      this.check();
    }

    onMissed(message) {
      this.note(`${message.count} messages were left out: this page took them too slowly`);
      for (const { item } of this.waiting.splice(0)) item.classList.remove('waiting');
      this.said = this.returned;
      this.check();
    }

    onError(message) {
      if (!this.joined && this.waiting.length > 0) this.refused.push(this.waiting.shift());
      else problem(`The chat says: ${message.message}`);
    }

    line(line, className) {
      const item = element('li', className);
      item.append(element('span', 'who', line.name), line.text);
      if (line.at !== undefined) this.seen.add(key(line));
      append($('lines'), item, MAX_LINES);
      return item;
    }

    note(text) {
      append($('lines'), element('li', 'note', text), MAX_LINES);
    }

    /** Every own line must come back once, in order. */
    check() {
      const open = this.said - this.returned;
      const came = `${this.returned} of ${this.said} own lines came back, each once, in order`;
      const text = this.wrong > 0 ? `${this.wrong} own lines came back wrongly` : came + (open > 0 ? '; the others are on their way.' : '.');
      show('check', this.said === 0 ? 'No own lines yet.' : text);
      Object.assign($('check').dataset, { ok: this.wrong === 0, said: this.said, returned: this.returned });
    }
  }

  function key(line) {
    return `${line.at} ${line.name} ${line.text}`;
  }

  function post(message) {
    // Refused only when the stream has ended or megabytes wait: the page says so.
    stream.send(encode(message)).then(counters, (error) => problem(error.message));
    counters();
  }

  // Pings.

  class Pings {
    constructor() {
      this.sent = 0;
      this.pongs = 0;
      /** The number that the next pong must have. */
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
      while ($('strip').children.length > STRIP) $('strip').firstElementChild.remove();
      post({ t: 'ping', n: this.sent++ });
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
        bar.className = ms > SLOW ? 'slow' : '';
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

  function steady(on) {
    clearInterval(pingTimer);
    if (on) pingTimer = setInterval(() => pings.send(), PING_EVERY);
    $('ping-toggle').setAttribute('aria-pressed', on);
    show('ping-toggle', on ? 'Stop the pings' : 'Steady pings');
  }

  // The stream.

  function counters() {
    for (const [id, value] of Object.entries(stream.counters)) show(id, value);
  }

  function status() {
    const { state, transport } = stream;
    Object.assign($('status').dataset, { state, transport: transport ?? '' });
    show('state', state === 'open' ? 'connected' : state);
    $('by').hidden = transport === null;
    show('transport', KINDS[transport] ?? '');
    for (const button of switches) {
      button.setAttribute('aria-pressed', button.dataset.switch === (kind === 'auto' ? transport : kind));
      button.disabled = state === 'ended';
    }
    for (const id of ['cut', 'say', 'burst', 'ping-toggle']) $(id).disabled = state === 'ended';
    $('restart').hidden = state !== 'ended';
    $('cut').hidden = state === 'ended';
    counters();
  }

  function start() {
    stream = new Minerva.MinervaStream('/_minerva/', { transport: kind });
    chat = new Chat();
    pings = new Pings();
    problem('');
    $('strip').replaceChildren();
    stream.onmessage = (event) => {
      chat.recv(JSON.parse(event.data));
      counters();
    };
    stream.ontransport = (event) => {
      const { kind: now, why } = event.data;
      happened(now ? `${KINDS[now]} carries the stream (${why})` : 'no transport: trying again');
      status();
    };
    stream.onstate = status;
    stream.onend = (event) => {
      steady(false);
      happened(`the stream has ended: ${event.data.reason}`);
      problem(`The stream has ended: ${event.data.reason}`);
      status();
    };
    chat.join();
    chat.check();
    status();
  }

  function storedName() {
    try {
      return localStorage.getItem('minerva-name');
    } catch {
      return null;
    }
  }

  $('say-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('text').value.trim();
    if (text !== '') chat.say(text);
    $('text').value = '';
  });
  $('name').addEventListener('change', () => {
    try {
      localStorage.setItem('minerva-name', $('name').value.trim());
    } catch {
      // A name for this visit only.
    }
    if (stream.state !== 'ended') chat.join();
  });
  for (const button of switches) {
    button.addEventListener('click', () => {
      kind = button.dataset.switch;
      happened(`switching to ${KINDS[kind]}`);
      stream.switchTo(kind);
      status();
    });
  }
  $('cut').addEventListener('click', () => {
    happened('cut by hand');
    stream.cut();
  });
  $('restart').addEventListener('click', start);
  $('ping-toggle').addEventListener('click', () => steady($('ping-toggle').getAttribute('aria-pressed') !== 'true'));
  $('burst').addEventListener('click', () => {
    const first = chat.said + 1;
    for (let i = 0; i < 100; i += 1) chat.say(`line ${first + i}`);
  });

  show('room', room);
  $('name').value = storedName() || `guest-${100 + Math.floor(Math.random() * 900)}`;
  start();
})();
