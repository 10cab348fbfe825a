// Access to the streams of any service, for programs that are no instance of it: sends, groups, resets and states.
//
// A request goes to every core, repeatedly until the responses cover all partitions, and waits for no core beyond that.
import { randomBytes } from 'node:crypto';
import { type Client, type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { connection, credentialsOf, parseAddresses, resolve, type Address } from './addresses.js';
import { Backoff } from './connector.js';
import { type Ended as CoreEnded, StreamService } from './contract.js';
import { MinervaError } from './errors.js';
import { type Content, type Ended, type TransportKind, endedOf, transportOf } from './events.js';
import { reasonOf } from './status_details.js';
import type { TlsFiles } from './tls.js';

/** Shortest deadline of one core, in ms. Otherwise a third of the deadline of the request. */
const MIN_CORE_TIMEOUT = 3_000;
/** Streams on a page of a list. */
const PAGE = 1000;

const TRANSIENT = [status.UNAVAILABLE, status.CANCELLED, status.UNKNOWN, status.DEADLINE_EXCEEDED, status.ABORTED];
const OF_STREAM: Record<string, string> = {
  STREAM_NOT_FOUND: 'there is no such stream',
  STREAM_ENDED: 'the stream is over',
  OUTBOX_FULL: 'the outbox of the stream is full',
  MESSAGE_UNSUPPORTED: 'the client does not accept a message: it accepts text of the bytes 0x20-0x7E only',
  TOO_MANY_GROUPS: 'the stream is in too many groups',
};

/**
 * A request had no effect. `reason` names the cause in a word, such as STREAM_NOT_FOUND or OUTBOX_FULL; empty if a field is
 * invalid or a core refuses for another cause.
 */
export class StreamsError extends MinervaError {
  constructor(message: string, readonly reason = '') {
    super(message);
  }
}

/** No core has answered, or not all partitions have a core now. The request had no effect. */
export class UnavailableError extends StreamsError {}

/** The outcome of a change is not known. A repetition with `key` takes effect once. */
export class UnknownOutcomeError extends StreamsError {
  constructor(problem: string, readonly key: Uint8Array) {
    super(`the outcome is not known: ${problem}`);
  }
}

/** One stream by number or secret id, or all streams of a service (default `default`) with a label. */
export type Target = bigint | { streamId: string; service?: string } | { label: string; service?: string };

/** The outcome of a send for one stream. */
export type SendOutcome = 'taken' | 'full' | 'ended' | 'not found' | 'unsupported';

export interface SendOptions {
  /** Idempotency key of 1 to 64 bytes, random by default. */
  key?: Uint8Array;
}

/** The result of a send to a group. */
export interface GroupSendResult {
  /** Streams that accepted the messages, now or under the same key before. */
  readonly taken: number;
  /** Streams that rejected the messages because of a full outbox; at most 1,000 of each core. */
  readonly full: bigint[];
  readonly fullCount: number;
  /** Streams whose clients do not accept one of the messages; at most 1,000 of each core. */
  readonly unsupported: bigint[];
  readonly unsupportedCount: number;
}

/** The state of a stream. */
export interface StreamInfo {
  readonly stream: bigint;
  readonly service: string;
  readonly label: string | undefined;
  readonly groups: string[];
  readonly startedAt: Date;
  /** Kind of the primary transport; undefined while the client is not connected. */
  readonly transport: TransportKind | undefined;
  readonly transports: number;
  readonly maxIdleMs: number;
  readonly instanceId: string | undefined;
  readonly isServed: boolean;
  readonly nextUnacknowledgedEvent: number;
  readonly nextEvent: number;
  readonly inbox: { readonly bytes: number; readonly messages: number };
  readonly outbox: { readonly bytes: number; readonly messages: number };
  /** Causes for which messages wait, such as `client behind`. */
  readonly pauses: string[];
  readonly ended: Ended | undefined;
}

interface Coverage {
  partitions: number[];
  total: number;
}

/* eslint-disable-next-line @typescript-eslint/no-explicit-any */
type Response = any;

export interface StreamsOptions {
  /** Deadline of a request in ms; default 10,000. */
  timeout?: number;
  /** The secret of `minerva-core token create`; default `MINERVA_TOKEN`. */
  token?: string;
  /** As in `ServiceOptions`. */
  tls?: TlsFiles;
}

/**
 * Sends to streams of any service, manages their groups, resets and lists them.
 *
 *     const streams = new Streams('core-a:7400,core-b:7400');
 *     await streams.send({ label: 'ann' }, ['your order has been shipped']);
 *     await streams.sendToGroup('lobby', ['the game begins'], { service: 'game' });
 *
 * The effect of a resolved request is durable. Each send has an idempotency key and takes effect once despite repetitions, while
 * the stream takes fewer than 32 other sends with keys in between. While a stream has no owner, such as during a failover,
 * requests wait up to the timeout.
 */
export class Streams {
  readonly #addresses: Address[];
  readonly #timeout: number;
  readonly #metadata: Metadata;
  readonly #clients = new Map<string, Client>();

  constructor(cores: string | readonly string[], { timeout = 10_000, token, tls }: StreamsOptions = {}) {
    this.#addresses = parseAddresses(cores, tls);
    this.#timeout = timeout;
    this.#metadata = credentialsOf(token);
  }

  /** Closes the connections. */
  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  /**
   * Sends messages to the selected streams; each takes all messages or none. Resolves to the outcome per stream. Rejects if a
   * stream selected by number or id took nothing, or if a message is invalid.
   */
  async send(to: Target, messages: readonly Content[], { key = newKey() }: SendOptions = {}): Promise<Map<bigint, SendOutcome>> {
    return outcomes(await this.#request('Send', { target: targetOf(to), idempotency_key: key, ...contentsOf(messages) }, key));
  }

  /** Sends messages to at most 10,000 streams by number. Resolves to the outcome per stream. */
  async sendMany(streams: Iterable<bigint>, messages: readonly Content[], { key = newKey() }: SendOptions = {}) {
    const request = { streams: [...streams].map(String), idempotency_key: key, ...contentsOf(messages) };
    return outcomes(await this.#request('SendMany', request, key));
  }

  /** Sends messages to all streams of a service in a group. */
  async sendToGroup(
    group: string, messages: readonly Content[], { service = 'default', key = newKey() }: SendOptions & { service?: string } = {},
  ): Promise<GroupSendResult> {
    const request = { service, group, idempotency_key: key, ...contentsOf(messages) };
    const pages = await this.#request('SendToGroup', request, key);
    const sum = (name: string) => pages.reduce((total, page) => total + Number(page[name]), 0);
    const [full, unsupported] = ['full', 'unsupported'].map((name) => sorted(pages.flatMap((page) => page[name])));
    return {
      taken: sum('taken'), full: full!, fullCount: sum('full_total'), unsupported: unsupported!, unsupportedCount: sum('unsupported_total'),
    };
  }

  /** Adds the selected streams to a group and resolves to those in the group now. */
  async join(to: Target, group: string): Promise<bigint[]> {
    return numbers(await this.#request('Join', { target: targetOf(to), group }));
  }

  /** Removes the selected streams from a group and resolves to those outside of the group now. */
  async leave(to: Target, group: string): Promise<bigint[]> {
    return numbers(await this.#request('Leave', { target: targetOf(to), group }));
  }

  /** Ends the selected streams at once and resolves to those that are over. Clients and instances receive the reason. */
  async reset(to: Target, reason: string): Promise<bigint[]> {
    return numbers(await this.#request('Reset', { target: targetOf(to), reason, application_level: true }));
  }

  /** The state of the selected streams. */
  async get(to: Target): Promise<StreamInfo[]> {
    const responses = await this.#request('Get', { target: targetOf(to) });
    return responses.flatMap((response) => response.streams.map(infoOf));
  }

  /** All streams of a service. Streams that start, end or move meanwhile may be missing or listed twice. */
  async list(service = 'default'): Promise<StreamInfo[]> {
    const [found, coverages]: [StreamInfo[], Coverage[]] = [[], []];
    for (const client of (await this.#connect()).values()) {
      for (let token = '', isLast = false; !isLast; ) {
        const page = await this.#call(client, 'List', { service, page_size: PAGE, page_token: token }, this.#timeout);
        found.push(...page.streams.map(infoOf));
        coverages.push(page.coverage);
        token = page.next_page_token;
        isLast = token === '';
      }
    }
    if (!isCovered(coverages)) throw new UnavailableError('not all partitions have a core now');
    return found;
  }

  /** Repeats a request until the responses of the cores are complete. */
  async #request(method: string, request: object, key: Uint8Array = new Uint8Array()): Promise<Response[]> {
    const rounds = new Rounds(method !== 'Get', key);
    const [deadline, backoff] = [Date.now() + this.#timeout, new Backoff()];
    for (;;) {
      const responses = await this.#round(method, request, rounds, deadline);
      if (responses) return responses;
      const pause = backoff.next();
      if (Date.now() + pause >= deadline) throw rounds.error();
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** Sends the request to every core. Null if the responses are not complete. */
  async #round(method: string, request: object, rounds: Rounds, deadline: number): Promise<Response[] | null> {
    const timeout = Math.min(Math.max(MIN_CORE_TIMEOUT, this.#timeout / 3), Math.max(deadline - Date.now(), 1));
    const clients = [...(await this.#connect()).values()];
    const responses: Response[] = [];
    let refusal: StreamsError | null = null;
    const isComplete = await new Promise<boolean>((resolve, reject) => {
      let open = clients.length;
      const onDone = () => --open === 0 && resolve(false);
      for (const client of clients) {
        this.#call(client, method, request, timeout).then((response) => {
          responses.push(response);
          if (isAll(method, responses)) resolve(true);
          onDone();
        }, (error: StreamsError) => {
          if (error instanceof UnavailableError) rounds.onProblem(error);
          else if (error.reason in OF_STREAM || !rounds.isChange) reject(error);
          // The other cores may apply the change.
          else refusal = error;
          onDone();
        });
      }
      if (open === 0) resolve(false);
    });
    if (isComplete) return responses;
    // The answered part of a change is applied.
    rounds.mayBeApplied ||= responses.length > 0;
    if (refusal) throw rounds.refused(refusal);
    return null;
  }

  #call(client: Client, method: string, request: object, timeout: number): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeout };
      const done = (error: ServiceError | null, response: Response) => (error ? reject(errorOf(error)) : resolve(response));
      const { path, requestSerialize, responseDeserialize } = (StreamService.service as Response)[method];
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, options, done);
    });
  }

  /** The connections to all addresses that the hosts have now. */
  async #connect(): Promise<Map<string, Client>> {
    const found = await Promise.all(this.#addresses.map(resolve));
    const targets = new Map(this.#addresses.flatMap((address, index) => found[index]!.map((target) => [target, address] as const)));
    for (const [target, client] of this.#clients) {
      if (targets.has(target)) continue;
      client.close();
      this.#clients.delete(target);
    }
    for (const [target, address] of targets) {
      if (!this.#clients.has(target)) this.#clients.set(target, new StreamService(...connection(address, target)));
    }
    return this.#clients;
  }
}

/** The outcome of a request, as far as failed attempts leave it open. */
class Rounds {
  mayBeApplied = false;
  private problem = 'not all partitions have a core now';

  constructor(readonly isChange: boolean, private readonly key: Uint8Array) {}

  onProblem(problem: UnavailableError): void {
    this.problem = problem.message;
    this.mayBeApplied ||= problem.reason !== 'NOT_OWNER' && problem.reason !== 'NO_CONNECTION';
  }

  refused(error: StreamsError): StreamsError {
    return this.mayBeApplied ? new UnknownOutcomeError(error.message, this.key) : error;
  }

  error(): StreamsError {
    if (this.isChange && this.mayBeApplied) return new UnknownOutcomeError(this.problem, this.key);
    return new UnavailableError(this.problem);
  }
}

function targetOf(to: Target): object {
  if (typeof to === 'bigint') return { stream: String(to) };
  const { service = 'default' } = to;
  return 'label' in to ? { label: to.label, service } : { stream_id: to.streamId, service };
}

function newKey(): Uint8Array {
  return randomBytes(16);
}

/** With kinds only if needed, because a core of release 0.1 reads text of version 2. */
function contentsOf(messages: readonly Content[]): object {
  for (const content of messages) {
    if (typeof content === 'string' ? !content.isWellFormed() : !(content instanceof Uint8Array)) {
      throw new TypeError('messages are a list of well-formed strings and Uint8Arrays');
    }
  }
  if (messages.every((content) => typeof content === 'string' && /^[ -~]*$/.test(content))) {
    return { messages: messages.map((content) => Buffer.from(content)) };
  }
  return { contents: messages.map((content) => (typeof content === 'string' ? { text: content } : { binary: content })) };
}

const OUTCOMES: Record<string, SendOutcome> = {
  SEND_OUTCOME_TAKEN: 'taken',
  SEND_OUTCOME_REPEATED: 'taken',
  SEND_OUTCOME_FULL: 'full',
  SEND_OUTCOME_ENDED: 'ended',
  SEND_OUTCOME_NOT_FOUND: 'not found',
  SEND_OUTCOME_UNSUPPORTED: 'unsupported',
};

/** The outcome of the owner of each stream. */
function outcomes(responses: Response[]): Map<bigint, SendOutcome> {
  const results: { stream: string; outcome: string }[] = responses.flatMap((response) => response.results);
  const known = results.filter(({ outcome }) => outcome in OUTCOMES);
  return new Map(known.map(({ stream, outcome }) => [BigInt(stream), OUTCOMES[outcome]!]));
}

function numbers(responses: Response[]): bigint[] {
  return responses.flatMap((response) => response.streams.map(BigInt));
}

function sorted(streams: string[]): bigint[] {
  return [...new Set(streams)].map(BigInt).sort((a, b) => (a < b ? -1 : 1));
}

/** Whether the responses cover all partitions, or the selected streams. */
function isAll(method: string, responses: Response[]): boolean {
  if (method !== 'SendMany') {
    return responses.some(({ coverage }) => coverage === null) || isCovered(responses.map(({ coverage }) => coverage));
  }
  const isElsewhere = ({ outcome }: { outcome: string }) => outcome === 'SEND_OUTCOME_NOT_OWNER';
  const missing = responses.map(({ results }) => new Set(results.filter(isElsewhere).map(({ stream }: { stream: string }) => stream)));
  return ![...missing[0]!].some((stream) => missing.every((other) => other.has(stream)));
}

function isCovered(coverages: Coverage[]): boolean {
  const covered = new Set(coverages.flatMap(({ partitions }) => partitions));
  return covered.size > 0 && covered.size === coverages.at(-1)?.total;
}

function errorOf(error: ServiceError): StreamsError {
  const { reason, violation } = reasonOf(error.metadata);
  if (violation) return new StreamsError(violation);
  const text = OF_STREAM[reason];
  if (text) return new StreamsError(text, reason);
  const isTransient = TRANSIENT.includes(error.code);
  if (!isTransient) return new StreamsError(`a core refused: ${status[error.code]}: ${error.details}`, reason);
  const isUnconnected = error.code === status.UNAVAILABLE && /^No connection established/.test(error.details);
  return new UnavailableError(`no answer from the cores: ${error.details}`, isUnconnected ? 'NO_CONNECTION' : reason);
}

function infoOf(info: Response): StreamInfo {
  const backlog = (name: string) => ({ bytes: Number(info[`${name}_bytes`]), messages: Number(info[`${name}_messages`]) });
  const ended: CoreEnded | null = info.ended;
  return {
    stream: BigInt(info.stream),
    service: info.service,
    label: info.label || undefined,
    groups: info.groups,
    startedAt: new Date(Number(info.started_at_ms)),
    transport: transportOf(info.primary_transport),
    transports: info.transports,
    maxIdleMs: Number(info.max_idle_ms),
    instanceId: info.instance_id || undefined,
    isServed: info.served,
    nextUnacknowledgedEvent: Number(info.next_unacknowledged_event),
    nextEvent: Number(info.next_event),
    inbox: backlog('inbox'),
    outbox: backlog('outbox'),
    pauses: info.pauses.map((pause: string) => pause.replace('PAUSE_', '').replaceAll('_', ' ').toLowerCase()),
    ended: ended ? endedOf(ended) : undefined,
  };
}
