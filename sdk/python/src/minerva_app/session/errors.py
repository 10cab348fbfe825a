"""Errors of the session machine: a full or ended send queue, and a core that breaks the contract."""


class QueueError(Exception):
    """A message was not queued."""


class NoRoomError(QueueError):
    """The outbox has no room now."""


class OverError(QueueError):
    """The stream is over, or the instance no longer holds the stream."""


class FinishedError(QueueError):
    """The app has finished the stream."""


class ContractError(Exception):
    """A core broke the contract, or a claim cannot be verified: the call must be ended."""
