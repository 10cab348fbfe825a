// At most one call per core: a second call of the same instance would end the first, and each would end the other in turn.
//
// A core is identified by the id in `Registered`. Before that, and if the core sends no id, the configured address is the key, so
// the socket addresses of one host name are called one after the other.
import { Notify } from './instance.js';

/** The cores that have a call. */
export class CoreLocks {
  private readonly held = new Map<string, CoreLock>();
  private readonly released = new Notify();

  /** Waits until no call holds this core, and locks it; null if `isOver` becomes true, checked at least each second. */
  async lock(core: string, isOver: () => boolean): Promise<CoreLock | null> {
    while (this.held.has(core)) {
      if (isOver()) return null;
      await this.released.wait(1000);
    }
    const lock = new CoreLock(this, core);
    this.held.set(core, lock);
    return lock;
  }

  /** Moves a lock to another key. Returns the lock that held the key. */
  move(lock: CoreLock, core: string): CoreLock | undefined {
    this.release(lock);
    const before = this.held.get(core);
    this.held.set(core, lock);
    return before;
  }

  release(lock: CoreLock): void {
    if (this.held.get(lock.core) === lock) this.held.delete(lock.core);
    this.released.notify();
  }
}

/** The exclusive right to call one core. */
export class CoreLock {
  /** Called when another call has registered with the same core, which has ended this call. */
  onSuperseded: () => void = () => {};

  constructor(private readonly locks: CoreLocks, public core: string) {}

  /** Moves the lock to the id that the core has sent. An earlier call to the same core is superseded. */
  rekey(core: string): void {
    if (core === this.core) return;
    const before = this.locks.move(this, core);
    this.core = core;
    before?.onSuperseded();
  }

  release(): void {
    this.locks.release(this);
  }
}
