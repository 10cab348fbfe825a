// Application services for Minerva: ordered, exactly-once messages in both directions between clients and this process. See
// `Service` for the first program, and `Stream` for what a handler can do.
export * from './errors.js';
export type {
  Accepts, Content, Ended, Event, Identity, Message, Rejoined, Released, TransportChanged, TransportKind,
} from './events.js';
export { type Handler, Service, type ServiceOptions } from './service.js';
export { type Retention, Stream } from './stream.js';
export {
  type GroupSendResult, type SendOptions, type SendOutcome, type StreamInfo, Streams, StreamsError, type StreamsOptions, type Target, UnavailableError,
  UnknownOutcomeError,
} from './streams.js';
export type { TlsFiles } from './tls.js';
