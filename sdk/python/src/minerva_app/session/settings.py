"""The settings of one stream: limits, label and groups. They are sent again on each attachment, because a lost core may not
have stored them. Changes of label and groups are numbered and confirmed. Pure; owned by the stream."""

from ..proto import app_pb2 as pb

MAX_GROUPS = 64
"""Most groups of one stream."""
MAX_LEFT = 256
"""Most left groups to repeat on a new attachment; the alphabetically first is forgotten beyond."""

_LIMITS, _LABEL, _GROUP = "limits", "label", "group"


class TooManyGroupsError(Exception):
    """The stream is in the maximal number of groups."""


class Settings:
    """The settings made by the app."""

    def __init__(self) -> None:
        self._limits = pb.SetLimits()
        self._label: str | None = None
        # Joined groups (True) and left groups (False).
        self._groups: dict[str, bool] = {}
        # Settings not sent on this attachment, in order; the keys of a dict, for its order.
        self._pending: dict[tuple[str, str], None] = {}
        self._changes = 0
        # Token of the last Sync of this attachment: the number of the last change in front of it.
        self._sync_sent = 0
        self._confirmed = 0

    def set_limits(self, limits: pb.SetLimits) -> None:
        """Changes the limits that are set in `limits`."""
        self._limits.MergeFrom(limits)
        self._pending[_LIMITS, ""] = None

    @property
    def outbox_messages(self) -> int | None:
        """The outbox limit in messages, if set by the app."""
        return self._limits.outbox_messages if self._limits.HasField("outbox_messages") else None

    def set_label(self, label: str) -> int:
        """Sets the label. Like `join` and `leave` returns the number of the change."""
        self._label = label
        return self._enqueue_change(_LABEL, "")

    def join(self, group: str) -> int:
        if not self._groups.get(group) and sum(self._groups.values()) >= MAX_GROUPS:
            raise TooManyGroupsError
        self._groups[group] = True
        return self._enqueue_change(_GROUP, group)

    def leave(self, group: str) -> int:
        if self._groups.get(group) is not False:
            left = sorted(other for other, is_joined in self._groups.items() if not is_joined)
            if len(left) >= MAX_LEFT:
                del self._groups[left[0]]
        self._groups[group] = False
        return self._enqueue_change(_GROUP, group)

    def on_refused(self, group: str) -> None:
        """The core has refused to add the stream to a group."""
        self._groups.pop(group, None)

    def has_changed(self, group: str) -> bool:
        """Whether the group was joined or left and the core has not refused the change."""
        return group in self._groups

    def on_synced(self, token: int) -> None:
        """The core has confirmed all changes up to the token."""
        self._confirmed = max(self._confirmed, min(token, self._changes))

    def on_send_state(self, has_sync: bool) -> None:
        """The core has confirmed sends. Without Sync this confirms all commands in front."""
        if not has_sync and not self._pending:
            self._confirmed = self._changes

    def is_confirmed(self, change: int) -> bool:
        """Whether a change is durable."""
        return self._confirmed >= change

    @property
    def awaits_confirmation(self) -> bool:
        """Whether all changes are sent and some are not confirmed."""
        return not self._pending and self._confirmed < self._changes

    def detach(self) -> None:
        """Ends the attachment: all settings are sent on the next one."""
        self._sync_sent = self._confirmed
        self._pending = {}
        if self._limits != pb.SetLimits():
            self._pending[_LIMITS, ""] = None
        if self._label is not None:
            self._pending[_LABEL, ""] = None
        for group in sorted(self._groups):
            self._pending[_GROUP, group] = None

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def has_commands(self, has_sync: bool) -> bool:
        """Whether a command is ready, for a core with or without Sync."""
        return self.has_pending or (has_sync and self._sync_sent < self._changes)

    def next_command(self, stream: int, has_sync: bool) -> pb.Command | None:
        """Takes the next command: the settings, then the Sync that confirms them."""
        while self._pending:
            setting, group = next(iter(self._pending))
            del self._pending[setting, group]
            if setting == _LIMITS:
                limits = pb.SetLimits()
                limits.CopyFrom(self._limits)
                limits.stream = stream
                return pb.Command(set_limits=limits)
            if setting == _LABEL:
                return pb.Command(set_label=pb.SetLabel(stream=stream, label=self._label or ""))
            is_joined = self._groups.get(group)
            if is_joined:
                return pb.Command(join_group=pb.JoinGroup(stream=stream, group=group))
            if is_joined is not None:
                return pb.Command(leave_group=pb.LeaveGroup(stream=stream, group=group))
        if has_sync and self._sync_sent < self._changes:
            self._sync_sent = self._changes
            return pb.Command(sync=pb.Sync(stream=stream, token=self._changes))
        return None

    def _enqueue_change(self, setting: str, group: str) -> int:
        # A repeated setting keeps the old position; the last value is sent.
        self._pending[setting, group] = None
        self._changes += 1
        return self._changes
