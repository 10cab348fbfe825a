/**
 * Sessions: a stream outlives the page. A module of its own, which the client loads with the option `session`: finds and locks the
 * stored state, opens the stream with it, and stores the changes. The rules are in `session/state.ts`.
 */
import type { MinervaStream } from './client.js';
import { newResumeKey, newStreamId } from './ids.js';
import type { SessionHooks, SessionHost, SessionSettings } from './session/host.js';
import { SessionState, type Write } from './session/state.js';
import { execute, load, openStorage, remove } from './session/storage.js';

/** Time in ms after which a new position is stored. */
const POSITION_DELAY = 200;

/** Time in ms for the lock of a page that has just ended, or crashed. */
const LOCK_WAIT = 500;

/** Storage that has the names of sessions; null where forbidden. */
function names(scope: 'tab' | 'origin' = 'tab'): Storage | null {
  try {
    return scope === 'tab' ? sessionStorage : localStorage;
  } catch {
    return null;
  }
}

function nameOf(session: string): string {
  return `minerva ${session}`;
}

/** Ends the stream of a session on the server, and deletes the stored state. `Stream` is the class of the client. */
export async function forget(Stream: typeof MinervaStream, session: string, scope: 'tab' | 'origin'): Promise<void> {
  const id = names(scope)?.getItem(nameOf(session));
  const db = id ? await openStorage().catch(() => null) : null;
  if (!id || !db) return;
  const url = (await load(db, id))[0]?.url;
  if (url === undefined) return;
  const stream = new Stream(url, { session, scope, busy: 'steal', rewind: 'new' });
  await new Promise((resolve) => {
    stream.onend = resolve;
    stream.reset('forgotten');
  });
  await remove(db, id);
}

/** Lock of one page on a session. */
class PageLock {
  #release = (): void => {};

  constructor(readonly name: string) {}

  /** Requests the lock; false if another page has it. Without Web Locks the generation alone decides. */
  take(options: LockOptions): Promise<boolean> {
    const locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined;
    if (!locks) return Promise.resolve(true);
    return new Promise((resolve) => {
      const hold = (lock: Lock | null): Promise<void> | undefined => {
        resolve(!!lock);
        return lock ? new Promise((release) => (this.#release = release)) : undefined;
      };
      // Rejected after the time, and if stolen; then the server ends this stream.
      locks.request(`minerva:${this.name}`, options, hold).catch(() => resolve(false));
    });
  }

  release(): void {
    this.#release();
  }
}

/** Returns the rule that an option breaks; '' if all are valid. */
function brokenRule({ session, scope = 'tab', busy = 'new', rewind = 'all' }: SessionSettings): string {
  if (typeof session !== 'string' || !session) return 'session is a name';
  if (scope !== 'tab' && scope !== 'origin') return 'scope is tab or origin';
  if (!['new', 'wait', 'steal'].includes(busy)) return 'busy is new, wait or steal';
  if (['all', 'unseen', 'new'].includes(rewind as string) || (Number.isSafeInteger(rewind) && (rewind as number) >= 0)) return '';
  return 'rewind is all, unseen, new or a message number';
}

/** Opens the session, and the stream with it. An invalid option ends the stream with the rule as the reason. */
export async function openSession(settings: SessionSettings, host: SessionHost): Promise<void> {
  const rule = brokenRule(settings);
  if (rule) return host.giveUp(rule);
  const { session, scope, busy = 'new', rewind, url } = settings;
  const storage = names(scope);
  let name = storage?.getItem(nameOf(session)) ?? newStreamId();
  let lock = new PageLock(name);
  const options = { new: { signal: AbortSignal.timeout(LOCK_WAIT) }, wait: {}, steal: { steal: true } }[busy];
  if (!(await lock.take(options))) {
    name = newStreamId();
    lock = new PageLock(name);
    await lock.take({});
  }
  let db: IDBDatabase | null = null;
  let state = new SessionState(undefined, [], fresh(), newResumeKey(), rewind);
  try {
    storage?.setItem(nameOf(session), name);
    db = await openStorage();
    state = new SessionState(...(await load(db, name)), fresh(), newResumeKey(), rewind);
  } catch {
    // Without storage the stream ends with the page.
    db = null;
  }
  const write = async (change: Write | null): Promise<void> => {
    if (!db || !change) return;
    await execute(db, name, state.record.generation, url, change).catch(() => (hooks.stored = false));
  };

  let timer: ReturnType<typeof setTimeout> | undefined;
  let position = 0;
  const flush = (): void => {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    void write(state.moveTo(position));
  };

  const open = async (): Promise<void> => {
    const { record, start, unsent } = state;
    await write(state.open());
    if (start) for (const { message } of host.waiting) hooks.storeHeld(message);
    host.waiting.unshift(...state.held.map((message) => ({ message, resolve: ignore, reject: ignore })));
    if (!start && unsent.length > 0) host.rejoin({ generation: 0, from: 0, complete: false, fresh: true, unsent });
    host.open(record.id, record.key, start);
  };

  /** Gives the held messages their numbers, and opens the way for later ones. */
  const number = async (): Promise<void> => {
    for (let change; (change = state.numberHeld(host.waiting.map(({ message }) => message))); ) await write(change);
    host.release();
  };

  const hooks = {
    stored: db !== null,
    storeHeld: (message) => void write(state.storeHeld(message)),
    storeSent: (number, message) => void write(state.storeSent(number, message)),
    freeSent: (number) => void write(state.freeSent(number)),
    moveTo(next) {
      position = next;
      timer ??= setTimeout(flush, POSITION_DELAY);
    },
    begin(born, from, own) {
      const { start } = state;
      const change = state.begin(born, from, own);
      if (!change) return;
      const begun = write(change);
      if (!start) return;
      const { generation } = start;
      host.rejoin({ generation, from, complete: state.isComplete(from), fresh: false, unsent: [] });
      void begun.then(number);
    },
    end(reason) {
      if (state.isOver(reason)) {
        const { unsent } = state;
        state = new SessionState(undefined, [], fresh(), newResumeKey(), rewind);
        state.unsent = unsent;
        // The messages of this page are sent on the new stream.
        host.waiting.splice(0, host.waiting.length, ...host.waiting.filter(({ resolve }) => resolve !== ignore));
        void open();
        return true;
      }
      stop.abort();
      clearTimeout(timer);
      lock.release();
      // The stream of a later page continues.
      if (db && reason !== 'superseded') void remove(db, name).catch(() => {});
      return false;
    },
  } satisfies SessionHooks as { -readonly [K in keyof SessionHooks]: SessionHooks[K] };

  const stop = new AbortController();
  globalThis.addEventListener?.(
    'pagehide',
    () => {
      flush();
      // A held lock would keep the page out of the back-forward cache.
      lock.release();
    },
    stop,
  );
  const onShow = (event: Event): void => void ((event as PageTransitionEvent).persisted && lock.take({ ifAvailable: true }));
  globalThis.addEventListener?.('pageshow', onShow, stop);
  host.attach(hooks);
  await open();
}

function ignore(): void {}

function fresh(): { readonly id: string; readonly key: string } {
  return { id: newStreamId(), key: newResumeKey() };
}
