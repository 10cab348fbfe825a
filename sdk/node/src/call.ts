// One Serve call: registers the instance, then passes events to the session and commands to the core. Used by the connector.
// Independent of other calls and of the meaning of the events.
import { type ClientDuplexStream, type Metadata, type StatusObject, status } from '@grpc/grpc-js';
import type { AppClient, Command, Event, ServeRequest, ServeResponse } from './contract.js';
import type { CoreLock } from './core_locks.js';
import { MinervaError } from './errors.js';
import type { Instance } from './instance.js';
import { Notify } from './instance.js';
import type { CallId } from './session/calls.js';

/** Deadline of the answer to a registration, in ms. */
const REGISTER_TIMEOUT = 10_000;
/** Deadline for the core to end a call after this side has ended its half, in ms. */
const CLOSE_TIMEOUT = 1_000;
/** Pause between two probes of the outboxes of finished streams, at a core of release 0.1, in ms. */
const PROBE_INTERVAL = 200;
/** Target size of a request. With one message of maximal length on top, a request stays below 4 MiB. */
const REQUEST_BYTES = 256 * 1024;
const FEATURES = ['claim-tags', 'ack-timeout', 'finish', 'sync', 'message-kinds', 'sessions'];
const REFUSALS = [status.INVALID_ARGUMENT, status.UNIMPLEMENTED, status.PERMISSION_DENIED, status.UNAUTHENTICATED];

/** The reason for the end of a call. */
export class CallError extends MinervaError {
  constructor(message: string, private readonly code?: status) {
    super(message);
  }

  /** Whether a retry cannot succeed unless the configuration of a side changes. */
  get isRefusal(): boolean {
    return this.code !== undefined && REFUSALS.includes(this.code);
  }

  /** Whether another call with the same instance id has ended this one. */
  get isAborted(): boolean {
    return this.code === status.ABORTED;
  }
}

/** Another call to the same core over another address is in progress. */
export class SupersededError extends CallError {}

/** The constant part of the registration. */
export interface Registration {
  readonly service: string;
  readonly instanceId: string;
  readonly window: number;
}

/** One call over a client. */
export class Call {
  private readonly stream: ClientDuplexStream<ServeRequest, ServeResponse>;
  private readonly id: CallId;
  private readonly held: string[];
  private readonly wake = new Notify();
  private isWritable = true;
  /** Set once the call is over. */
  private problem: CallError | null = null;

  constructor(private readonly instance: Instance, client: AppClient, metadata: Metadata, private readonly lock: CoreLock) {
    const { call, held } = instance.session.begin();
    [this.id, this.held] = [call, held];
    instance.calls.set(call, () => this.wake.notify());
    lock.onSuperseded = () => this.fail(new SupersededError('superseded by a call to the same core over another address'));
    this.stream = client.Serve(metadata);
    this.stream.on('data', (response: ServeResponse) => this.onResponse(response));
    this.stream.on('drain', () => {
      this.isWritable = true;
      this.wake.notify();
    });
    // The status follows every error.
    this.stream.on('error', () => {});
    this.stream.on('status', ({ code, details }: StatusObject) => {
      const text = code === status.OK ? 'the core ended the call' : `${status[code]}: ${details}`;
      this.fail(new CallError(text, code));
    });
  }

  /** Registers, and moves the lock to the id of the core. Rejects with CallError. */
  async register({ service, instanceId, window }: Registration): Promise<void> {
    const { session } = this.instance;
    this.write([{
      register: {
        service, instance_id: instanceId, stream_window_bytes: window, held_streams: this.held, held: session.held(this.held),
        max_version: 1, features: FEATURES,
      },
    }]);
    const deadline = Date.now() + REGISTER_TIMEOUT;
    while (!session.isRegistered(this.id)) {
      if (this.problem) throw this.problem;
      if (this.instance.isDrained) return;
      if (Date.now() >= deadline) throw new CallError('the core did not answer the registration in time');
      await this.wake.wait(deadline - Date.now());
    }
  }

  /** Exchanges events and commands until the call breaks (CallError), or the service is stopped and drained. */
  async run(): Promise<void> {
    const { session } = this.instance;
    const probes = session.needsProbes(this.id) ? setInterval(() => this.probe(), PROBE_INTERVAL) : undefined;
    try {
      while (!this.instance.isDrained) {
        if (this.problem) throw this.problem;
        if (session.unsettledCalls().includes(this.id)) {
          throw new CallError('a partition was claimed under an older epoch than that of a lost call');
        }
        // Commands that become ready while the core does not read are batched into the next request.
        const commands = this.isWritable ? session.takeCommands(this.id, REQUEST_BYTES) : [];
        if (commands.length > 0) this.write(commands);
        else await this.wake.wait();
        // A turn of the event loop: more commands may become ready.
        await new Promise(setImmediate);
      }
    } finally {
      clearInterval(probes);
    }
    // A late end of the call has no consequence.
    this.stream.end();
    const deadline = Date.now() + CLOSE_TIMEOUT;
    while (!this.problem && Date.now() < deadline) await this.wake.wait(deadline - Date.now());
  }

  /** Ends the call in the session, and cancels the call. */
  end(): void {
    this.instance.endCall(this.id);
    this.stream.cancel();
  }

  private probe(): void {
    const commands = this.instance.session.probes(this.id);
    if (commands.length > 0 && this.isWritable && !this.problem) this.write(commands);
  }

  private write(commands: Command[]): void {
    this.isWritable = this.stream.write({ commands });
  }

  private onResponse(response: ServeResponse): void {
    if (this.problem) return;
    for (const event of response.events) {
      const id = event.registered?.core_id;
      if (id) this.lock.rekey(id);
      logInvalid(event);
    }
    try {
      this.instance.onResponse(this.id, response);
    } catch (error) {
      this.fail(new CallError(`the core broke the contract: ${String(error)}`));
    }
    this.wake.notify();
  }

  private fail(problem: CallError): void {
    this.problem ??= problem;
    this.wake.notify();
  }
}

/** Logs the refusal of an invalid command, which the checks of this SDK should prevent. */
function logInvalid({ send_refused: send, command_refused: command }: Event): void {
  const isInvalid = send && ['SEND_REFUSED_REASON_INVALID', 'SEND_REFUSED_REASON_UNSUPPORTED'].includes(send.reason);
  const refused = command ?? (isInvalid ? send : undefined);
  if (refused) console.error(`minerva: the core refused an invalid command of stream ${refused.stream}: ${refused.detail}`);
}
