"""The errors of this SDK."""


class MinervaError(Exception):
    """Base of all errors of this SDK."""


class StartError(MinervaError):
    """A service cannot start: an option is invalid, or a core has refused the registration."""


class SendError(MinervaError):
    """A message was not sent."""


class StreamOverError(SendError):
    """The stream is over, or this instance no longer has the stream."""

    def __init__(self) -> None:
        super().__init__("the stream is over")


class StreamFinishedError(SendError):
    """The application has finished the stream."""

    def __init__(self) -> None:
        super().__init__("the stream is finished and accepts no more messages")


class MessageTooLongError(SendError):
    """The message is longer than the core accepts."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"a message of {length} bytes exceeds the limit of {limit}")
        self.length, self.limit = length, limit


class UnsupportedMessageError(SendError):
    """The client accepts only text of the bytes 0x20-0x7E (version 2 of the protocol); see `Stream.accepts`."""

    def __init__(self, position: int | None) -> None:
        what = "a binary message" if position is None else f"other text at character {position}"
        super().__init__(f"{what}: the client accepts text of the bytes 0x20-0x7E only")
        self.position = position


class InvalidTextError(SendError, ValueError):
    """The text has a lone surrogate, so that it is not UTF-8."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the text has a lone surrogate at character {position}: replace it, or send bytes")
        self.position = position


class OutboxFullError(SendError):
    """The outbox of the stream is full; `Stream.send` waits for room."""

    def __init__(self) -> None:
        super().__init__("the outbox of the stream is full: use `send`, which waits for room")


class SettingError(MinervaError, ValueError):
    """A reason, a label or the name of a group is invalid, or the stream is in the maximal number of groups."""
