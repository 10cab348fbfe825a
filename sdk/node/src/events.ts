// The events of a stream: messages, adoptions by new page loads, transport changes and the end. Decoded from the contract;
// used by all other modules.
import type * as contract from './contract.js';

/** The content of a message: text or binary. */
export type Content = string | Uint8Array;

export type TransportKind = 'tcp' | 'websocket' | 'http-stream' | 'long-poll';

/** The messages that a client accepts: `ascii` is text of the bytes 0x20-0x7E (version 2 of the protocol). */
export type Accepts = 'ascii' | 'all';

/** The verified content of a client's token (JWT). */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string[];
  readonly tokenId: string | undefined;
  readonly issuedAt: Date | undefined;
  /** The stream ends with the reason `token expired` soon after, unless the client sends a new token. */
  readonly expiresAt: Date;
  /** The claims that the configuration of the core selects. */
  readonly claims: Record<string, unknown>;
}

/** A message from the client. The first message of a stream is event 1, and each further one counts up by one. */
export interface Message {
  readonly type: 'message';
  readonly event: number;
  readonly content: Content;
  /** Deliveries of this message, this one included; undefined with a core of release 0.1. */
  readonly attempts: number | undefined;
}

/** A new generation of the client, such as a reloaded page, has taken the stream over. Acknowledged like a message. */
export interface Rejoined {
  readonly type: 'rejoined';
  readonly event: number;
  readonly generation: number;
  readonly asked: 'all' | 'new' | number;
  /** First message that the client receives, in the numbering of the client. */
  readonly from: number;
  /** False if a requested message is missing: send the state that the client lacks. */
  readonly complete: boolean;
  readonly credentials: string;
  readonly headers: readonly [string, string][];
  readonly peerAddress: string;
  readonly transport: TransportKind | undefined;
}

/** A transport was attached or detached. Informative: some changes may be omitted, none is repeated. */
export interface TransportChanged {
  readonly type: 'transport';
  readonly number: number;
  readonly attached: boolean;
  readonly primary: boolean;
  readonly kind: TransportKind | undefined;
  /** Number of transports after the change; 0 if the client is not connected. */
  readonly transports: number;
}

/** The stream has ended. The last event. */
export interface Ended {
  readonly type: 'ended';
  readonly event: number;
  /** `state lost` if the store has lost a part of the stream. */
  readonly reason: string;
  /** True if an application on either side decided, false after a failure below the applications. */
  readonly applicationLevel: boolean;
  readonly by: 'client' | 'app' | 'core';
}

/** The stream has moved to another instance, or this service is stopped. The last event here, not the end. */
export interface Released {
  readonly type: 'released';
}

export type Event = Message | Rejoined | TransportChanged | Ended | Released;

const TRANSPORTS: Record<string, TransportKind> = {
  TRANSPORT_KIND_TCP: 'tcp',
  TRANSPORT_KIND_WEBSOCKET: 'websocket',
  TRANSPORT_KIND_HTTP_STREAM: 'http-stream',
  TRANSPORT_KIND_LONG_POLL: 'long-poll',
};

/** Undefined for a kind that is newer than this SDK. */
export function transportOf(kind: string): TransportKind | undefined {
  return TRANSPORTS[kind];
}

export function acceptsOf(accepts: string): Accepts {
  return accepts === 'ACCEPTS_TEXT_AND_BINARY' ? 'all' : 'ascii';
}

export function headersOf(headers: contract.Header[]): [string, string][] {
  return headers.map(({ name, value }) => [name, value]);
}

export function identityOf(identity: contract.Identity): Identity {
  const { issuer, subject, audience, token_id: tokenId, claims } = identity;
  const [issued, expires] = [identity.issued_at, identity.expires_at].map((seconds) => new Date(Number(seconds) * 1000));
  return {
    issuer, subject, audience, tokenId: tokenId || undefined, expiresAt: expires!,
    issuedAt: identity.issued_at === '0' ? undefined : issued,
    claims: Object.fromEntries(claims.map(({ name, value }) => [name, JSON.parse(value)])),
  };
}

export function endedOf(ended: contract.Ended): Ended {
  const by = ended.by === 'ENDED_BY_CLIENT' ? 'client' : ended.by === 'ENDED_BY_APP' ? 'app' : 'core';
  const { reason, application_level: applicationLevel } = ended;
  return { type: 'ended', event: Number(ended.event), reason, applicationLevel, by };
}

export function rejoinedOf(rejoined: contract.Rejoined): Rejoined {
  const number = rejoined.asked === 'REJOIN_REQUEST_NUMBER' ? Number(rejoined.asked_number) : undefined;
  return {
    type: 'rejoined',
    event: Number(rejoined.event),
    generation: rejoined.generation,
    asked: number ?? (rejoined.asked === 'REJOIN_REQUEST_ALL' ? 'all' : 'new'),
    from: Number(rejoined.from),
    complete: rejoined.complete,
    credentials: rejoined.credentials,
    headers: headersOf(rejoined.headers),
    peerAddress: rejoined.peer_address,
    transport: transportOf(rejoined.transport),
  };
}

export function changeOf(change: contract.TransportChanged): TransportChanged {
  const { attached, primary, transports } = change;
  const number = Number(change.transport_number);
  return { type: 'transport', number, attached, primary, kind: transportOf(change.transport), transports };
}
