// Keeps one Serve call open to each address of a core, with full-jitter back-off between attempts.
import { isIP } from 'node:net';
import type { Metadata } from '@grpc/grpc-js';
import { type Address, connection, resolve } from './addresses.js';
import { Call, CallError, type Registration, SupersededError } from './call.js';
import { AppService } from './contract.js';
import { CoreLocks } from './core_locks.js';
import { StartError } from './errors.js';
import { type Instance, Phase } from './instance.js';

/** Interval of DNS lookups in ms: bounds the time until a new core is called. */
const LOOKUP_INTERVAL = 5_000;
/** Deadline of a connection attempt, in ms. */
const CONNECT_TIMEOUT = 5_000;
/** Bounds of the pause after a lost call, in ms; the bound doubles with each attempt. */
const [FIRST_PAUSE, LAST_PAUSE] = [100, 3_000];

/** Pauses between attempts: random, below a bound that doubles. */
export class Backoff {
  private bound = FIRST_PAUSE;

  next(): number {
    const pause = Math.random() * this.bound;
    this.bound = Math.min(this.bound * 2, LAST_PAUSE);
    return pause;
  }

  reset(): void {
    this.bound = FIRST_PAUSE;
  }
}

/** The error of a start that a core refuses. */
function refusal({ message }: CallError): StartError {
  // The text of gRPC for a connection without TLS to a port that needs TLS.
  const hint = message.includes('Protocol not secure enough') ? ': the core needs TLS, set `tls`, or MINERVA_MTLS_CA, _CERT and _KEY' : '';
  return new StartError(`a core refused the registration: ${message}${hint}`);
}

/** The calls of one service to all addresses. */
export class Connectors {
  private readonly locks = new CoreLocks();

  /** `onStarted` takes the outcome of the first registration, and returns whether it was the first one. */
  constructor(
    private readonly instance: Instance,
    private readonly registration: Registration,
    private readonly metadata: Metadata,
    private readonly onStarted: (problem: StartError | null) => boolean,
  ) {}

  /** Runs until the service is drained. */
  async run(addresses: Address[]): Promise<void> {
    await Promise.all(addresses.map((address) => this.keepConnected(address)));
  }

  /** Keeps a connector to each target of one configured address. */
  private async keepConnected(address: Address): Promise<void> {
    const connectors = new Map<string, Promise<void>>();
    let targets: string[] = [];
    while (!this.instance.isDrained) {
      const found = await resolve(address);
      // Without an answer of the name service the last one holds.
      if (found.length > 0) targets = found;
      for (const target of targets) {
        if (connectors.has(target)) continue;
        const calling = this.keepCalling(address, target, () => targets.includes(target));
        connectors.set(target, calling.finally(() => connectors.delete(target)));
      }
      const next = Date.now() + LOOKUP_INTERVAL;
      while (!this.instance.isDrained && (isIP(address.host) || Date.now() < next)) {
        await (isIP(address.host) ? this.instance.changed.wait() : this.instance.changed.wait(next - Date.now()));
      }
    }
    await Promise.all(connectors.values());
  }

  /** Calls until the service is drained, or the host no longer resolves to this target. */
  private async keepCalling(address: Address, target: string, isResolved: () => boolean): Promise<void> {
    const [backoff, core] = [new Backoff(), { key: address.key }];
    while (!this.instance.isDrained) {
      try {
        await this.call(address, target, core, backoff);
        return;
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        if (error instanceof SupersededError) continue;
        if (error.isRefusal && this.onStarted(refusal(error))) {
          this.instance.advance(Phase.Stopped);
          return;
        }
        if (!isResolved()) return;
        const pause = backoff.next();
        console.warn(`minerva: the call to the core ${target} failed, next attempt in ${Math.round(pause)} ms: ${error.message}`);
        const end = Date.now() + pause;
        while (!this.instance.isDrained && Date.now() < end) await this.instance.changed.wait(end - Date.now());
      }
    }
  }

  /** Makes one call. Resolves once the service is stopped and drained. Rejects with CallError. */
  private async call(address: Address, target: string, core: { key: string }, backoff: Backoff): Promise<void> {
    const lock = await this.locks.lock(core.key, () => this.instance.isDrained);
    if (!lock) return;
    let client: InstanceType<typeof AppService>;
    try {
      client = new AppService(...connection(address, target));
    } catch (error) {
      lock.release();
      if (error instanceof StartError) throw new CallError(error.message); // a file of TLS, read again, is not valid now
      throw error;
    }
    const hint = address.tls ? `: is the core's certificate of this CA, and does it name ${address.host}?` : '';
    let call: Call | undefined;
    try {
      const connected = new Promise<void>((done, fail) => {
        client.waitForReady(Date.now() + CONNECT_TIMEOUT, (error) => (error ? fail(new CallError(`no connection${hint}`)) : done()));
      });
      // A stop does not wait for a connection.
      await Promise.race([connected, this.instance.untilDrained()]);
      connected.catch(() => {});
      if (this.instance.isDrained) return;
      call = new Call(this.instance, client, this.metadata, lock);
      await call.register(this.registration);
      core.key = lock.core;
      this.onStarted(null);
      await call.run();
    } catch (error) {
      // Two processes with one instance id would otherwise end each other's calls without a pause.
      if (call && error instanceof CallError && !error.isAborted && !error.isRefusal) backoff.reset();
      throw error;
    } finally {
      call?.end();
      lock.release();
      client.close();
    }
  }
}
