// The errors of this SDK.

/** Base of all errors of this SDK. */
export class MinervaError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A service cannot start: an option is invalid, or a core has refused the registration. */
export class StartError extends MinervaError {}

/** A message was not sent. */
export class SendError extends MinervaError {}

/** The stream is over, or this instance no longer has the stream. */
export class StreamOverError extends SendError {
  constructor() {
    super('the stream is over');
  }
}

/** The application has finished the stream. */
export class StreamFinishedError extends SendError {
  constructor() {
    super('the stream is finished and accepts no more messages');
  }
}

/** The message is longer than the core accepts. */
export class MessageTooLongError extends SendError {
  constructor(readonly length: number, readonly limit: number) {
    super(`a message of ${length} bytes exceeds the limit of ${limit}`);
  }
}

/** The client accepts only text of the bytes 0x20-0x7E (version 2 of the protocol); see `Stream.accepts`. */
export class UnsupportedMessageError extends SendError {
  /** `position`: index of the first refused character; undefined for a binary message. */
  constructor(readonly position?: number) {
    const what = position === undefined ? 'a binary message' : `other text at character ${position}`;
    super(`${what}: the client accepts text of the bytes 0x20-0x7E only`);
  }
}

/** The text has a lone surrogate, so that it is not Unicode. */
export class InvalidTextError extends SendError {
  constructor() {
    super('the text has a lone surrogate: use toWellFormed(), or send bytes');
  }
}

/** The outbox of the stream is full; `Stream.send` waits for room. */
export class OutboxFullError extends SendError {
  constructor() {
    super('the outbox of the stream is full: use `send`, which waits for room');
  }
}

/** A reason, a label or the name of a group is invalid, or the stream is in the maximal number of groups. */
export class SettingError extends MinervaError {}
