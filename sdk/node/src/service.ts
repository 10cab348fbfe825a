// A service: this process as one instance, registered with every core. Start, accept and stop.
import { randomUUID } from 'node:crypto';
import { type Address, credentialsOf, parseAddresses } from './addresses.js';
import type { Registration } from './call.js';
import { Connectors } from './connector.js';
import { StartError } from './errors.js';
import { Instance, Phase } from './instance.js';
import { shortHash } from './short_hash.js';
import { Stream } from './stream.js';
import type { TlsFiles } from './tls.js';

/** Deadline for queued messages to become durable after a stop, in ms. */
const DRAIN_TIMEOUT = 5_000;
/** Time without a registration after which the start is reported as waiting, in ms. */
const WAITING_AFTER = 5_000;

export interface ServiceOptions {
  /**
   * Addresses of the cores, `HOST:PORT` or `http://HOST:PORT`, as one text with commas or as a list; default `MINERVA_API`, else
   * `127.0.0.1:7400`. A host name may resolve to several cores.
   */
  cores?: string | readonly string[];
  /** Name of the service, of a-z, 0-9, '-' and '_'; `default` is the service of the path `/_minerva/`. */
  name?: string;
  /**
   * Random by default. A process that keeps its id over a restart gets its streams back at once; with a new id the cores wait for
   * `--app-grace` first. Two running processes must not share an id.
   */
  instanceId?: string;
  /**
   * Bytes of messages per stream that are queued for the handler or unacknowledged; default 256 KiB. Beyond, messages wait in the
   * core, then in the client.
   */
  streamWindowBytes?: number;
  /** The secret of `minerva-core token create`; default `MINERVA_TOKEN`. A service with a token is served by holders only. */
  token?: string;
  /** The files of mutual TLS; default `MINERVA_MTLS_CA`, `MINERVA_MTLS_CERT` and `MINERVA_MTLS_KEY`. */
  tls?: TlsFiles;
}

export type Handler = (stream: Stream) => Promise<void>;

/**
 * This process as an instance of a service. Accepts the streams that the cores assign. Lost calls are retried without limit, and
 * streams survive them, as well as a change of the owning core.
 *
 *     await new Service({ name: 'echo' }).run(async (stream) => {
 *       for await (const message of stream) await stream.send(message);
 *     });
 */
export class Service {
  readonly #addresses: Address[];
  readonly #instance: Instance;
  readonly #registration: Registration;
  readonly #metadata;
  #running: Promise<void> | null = null;

  constructor(options: ServiceOptions = {}) {
    const { cores = process.env['MINERVA_API'] ?? '127.0.0.1:7400', name = 'default' } = options;
    const { instanceId = randomUUID(), streamWindowBytes: window = 256 * 1024 } = options;
    if (!/^[a-z0-9_-]{1,64}$/.test(name)) {
      throw new StartError(`\`${name}\` cannot name a service: use 1 to 64 of a-z, 0-9, \`-\` and \`_\``);
    }
    if (!/^[!-~]{1,64}$/.test(instanceId)) {
      throw new StartError(`\`${instanceId}\` is not an instance id: use 1 to 64 of the characters 0x21-0x7E`);
    }
    if (!Number.isInteger(window) || window < 1 || window >= 2 ** 32) {
      throw new StartError(`a window of ${window} bytes: use 1 to 4294967295`);
    }
    this.#addresses = parseAddresses(cores, options.tls);
    this.#instance = new Instance(window);
    this.#registration = { service: name, instanceId, window };
    this.#metadata = credentialsOf(options.token);
  }

  /**
   * Starts the service and resolves after the first registration. Unreachable cores are retried without limit, so apps and cores
   * may start in any order; a start that waits is logged. Rejects with StartError if a core refuses the registration before
   * another core accepts one. Later refusals are logged and retried.
   */
  async start(): Promise<void> {
    if (this.#running) throw new StartError('the service was started before');
    const waiting = setTimeout(() => {
      const addresses = this.#addresses.map(({ key }) => key).join(', ');
      console.warn(
        `minerva: no core answers yet at ${addresses}, so the service \`${this.#registration.service}\` waits: ` +
          'start Minerva, or correct the address',
      );
    }, WAITING_AFTER);
    try {
      await new Promise<void>((resolve, reject) => {
        let isStarted = false;
        const onStarted = (problem: StartError | null) => {
          if (isStarted) return false;
          isStarted = true;
          if (problem) reject(problem);
          else resolve();
          return true;
        };
        const connectors = new Connectors(this.#instance, this.#registration, this.#metadata, onStarted);
        this.#running = this.#drive(connectors).finally(() => onStarted(new StartError('the service was stopped')));
      });
    } finally {
      clearTimeout(waiting);
    }
  }

  /**
   * Waits for the next stream assigned to this instance; null once the service is stopped. The caller closes the stream, which
   * `run` does for handlers.
   */
  async accept(): Promise<Stream | null> {
    const cell = await this.#instance.accept();
    return cell && new Stream(cell, this.#instance);
  }

  /**
   * Runs `handler` for each stream, until the service is stopped. Starts the service if needed.
   *
   * A stream ends with the handler. A handler that resolves finishes the stream: the client receives all sent messages first. A
   * rejection resets the stream at once with the reason `the application failed`; the error is not sent to the client but
   * written to stderr. SIGTERM and SIGINT stop the service, unless `handleSignals` is false.
   */
  async run(handler: Handler, { handleSignals = true } = {}): Promise<void> {
    const stop = () => this.#instance.advance(Phase.Draining);
    const signals = handleSignals ? (['SIGTERM', 'SIGINT'] as const) : [];
    for (const signal of signals) process.once(signal, stop);
    try {
      if (!this.#running) await this.start();
      for (let stream = await this.accept(); stream; stream = await this.accept()) void handle(handler, stream);
      await this.#instance.waitForPhase(Phase.Stopped);
    } finally {
      for (const signal of signals) process.removeListener(signal, stop);
    }
  }

  /**
   * Stops the service and waits for the end of the stop, at most about six seconds.
   *
   * No more streams are accepted, and handlers receive no more messages. Their streams are released, not reset, and go on with
   * another instance or the next start of this program. Queued messages become durable first. Handlers that hold their stream
   * longer than five seconds are cut off.
   */
  async stop(): Promise<void> {
    this.#instance.advance(this.#running ? Phase.Draining : Phase.Stopped);
    await this.#instance.waitForPhase(Phase.Stopped);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #drive(connectors: Connectors): Promise<void> {
    try {
      await Promise.race([connectors.run(this.#addresses), this.#instance.waitForPhase(Phase.Stopped), this.#deadline()]);
    } catch (error) {
      console.error('minerva: the service has failed', error);
    } finally {
      this.#instance.advance(Phase.Stopped);
    }
  }

  async #deadline(): Promise<void> {
    await this.#instance.waitForPhase(Phase.Draining);
    const end = Date.now() + DRAIN_TIMEOUT;
    while (this.#instance.phase !== Phase.Stopped && Date.now() < end) await this.#instance.changed.wait(end - Date.now());
    if (!this.#instance.isDrained) console.warn('minerva: stopped with unconfirmed messages or open streams');
  }
}

async function handle(handler: Handler, stream: Stream): Promise<void> {
  try {
    await handler(stream);
    stream.close();
  } catch (error) {
    console.error(`minerva: the handler of stream ${shortHash(stream.id)} failed:`, error);
    stream.close({ succeeded: false });
  }
}
