package session

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// maxGroups bounds the groups of one stream.
	maxGroups = 64
	// maxLeft bounds the left groups to repeat on a new attachment; the alphabetically first is forgotten beyond.
	maxLeft = 256
)

type settingKind int

const (
	settingLimits settingKind = iota
	settingLabel
	settingGroup
)

type setting struct {
	kind  settingKind
	group string
}

// Settings are the limits, the label and the groups of one stream that the application has set. They are sent again on each
// attachment, because a lost core may not have stored them. Changes of label and groups are numbered and confirmed.
type Settings struct {
	limits *appv1.SetLimits
	label  *string
	// Joined groups (true) and left groups (false).
	groups map[string]bool
	// Settings not sent on this attachment, in order.
	pending []setting
	changes uint64
	// Token of the last Sync of this attachment: the number of the last change in front of it.
	syncSent  uint64
	confirmed uint64
}

// SetLimits changes the limits that are set in the argument.
func (s *Settings) SetLimits(limits *appv1.SetLimits) {
	if s.limits == nil {
		s.limits = &appv1.SetLimits{}
	}
	proto.Merge(s.limits, limits)
	s.enqueue(setting{kind: settingLimits})
}

// outboxMessages returns the outbox limit in messages, if set by the application.
func (s *Settings) outboxMessages() (uint32, bool) {
	if s.limits == nil || s.limits.OutboxMessages == nil {
		return 0, false
	}
	return *s.limits.OutboxMessages, true
}

// SetLabel sets the label. Like Join and Leave it returns the number of the change.
func (s *Settings) SetLabel(label string) uint64 {
	s.label = &label
	return s.enqueueChange(setting{kind: settingLabel})
}

// Join adds the stream to a group.
func (s *Settings) Join(group string) (uint64, error) {
	if !s.groups[group] && len(s.groupsThat(true)) >= maxGroups {
		return 0, ErrTooManyGroups
	}
	s.setGroup(group, true)
	return s.enqueueChange(setting{settingGroup, group}), nil
}

// Leave removes the stream from a group.
func (s *Settings) Leave(group string) uint64 {
	if isJoined, isKnown := s.groups[group]; !isKnown || isJoined {
		if left := s.groupsThat(false); len(left) >= maxLeft {
			delete(s.groups, left[0])
		}
	}
	s.setGroup(group, false)
	return s.enqueueChange(setting{settingGroup, group})
}

// onRefused applies the refusal of a group.
func (s *Settings) onRefused(group string) { delete(s.groups, group) }

// hasChanged returns whether the group was joined or left and the core has not refused the change.
func (s *Settings) hasChanged(group string) bool {
	_, isKnown := s.groups[group]
	return isKnown
}

// onSynced applies the confirmation of all changes up to the token.
func (s *Settings) onSynced(token uint64) { s.confirmed = max(s.confirmed, min(token, s.changes)) }

// onSendState applies a confirmation of sends. Without Sync it confirms all commands in front.
func (s *Settings) onSendState(hasSync bool) {
	if !hasSync && len(s.pending) == 0 {
		s.confirmed = s.changes
	}
}

func (s *Settings) isConfirmed(change uint64) bool { return s.confirmed >= change }

// awaitsConfirmation returns whether all changes are sent and some are not confirmed.
func (s *Settings) awaitsConfirmation() bool { return len(s.pending) == 0 && s.confirmed < s.changes }

// detach ends the attachment: all settings are sent on the next one.
func (s *Settings) detach() {
	s.syncSent = s.confirmed
	s.pending = nil
	if s.limits != nil {
		s.enqueue(setting{kind: settingLimits})
	}
	if s.label != nil {
		s.enqueue(setting{kind: settingLabel})
	}
	for _, group := range slices.Sorted(maps.Keys(s.groups)) {
		s.enqueue(setting{settingGroup, group})
	}
}

// hasCommands returns whether a command is ready, for a core with or without Sync.
func (s *Settings) hasCommands(hasSync bool) bool {
	return len(s.pending) > 0 || (hasSync && s.syncSent < s.changes)
}

// nextCommand takes the next command: the settings, then the Sync that confirms them; nil if none is ready.
func (s *Settings) nextCommand(stream uint64, hasSync bool) *appv1.Command {
	for len(s.pending) > 0 {
		next := s.pending[0]
		s.pending = s.pending[1:]
		if command := s.command(stream, next); command != nil {
			return command
		}
	}
	if !hasSync || s.syncSent >= s.changes {
		return nil
	}
	s.syncSent = s.changes
	return &appv1.Command{Command: &appv1.Command_Sync{Sync: &appv1.Sync{Stream: stream, Token: s.changes}}}
}

func (s *Settings) command(stream uint64, next setting) *appv1.Command {
	switch next.kind {
	case settingLimits:
		limits := proto.CloneOf(s.limits)
		limits.Stream = stream
		return &appv1.Command{Command: &appv1.Command_SetLimits{SetLimits: limits}}
	case settingLabel:
		label := &appv1.SetLabel{Stream: stream, Label: *s.label}
		return &appv1.Command{Command: &appv1.Command_SetLabel{SetLabel: label}}
	}
	isJoined, isKnown := s.groups[next.group]
	switch {
	case !isKnown:
		return nil
	case isJoined:
		join := &appv1.JoinGroup{Stream: stream, Group: next.group}
		return &appv1.Command{Command: &appv1.Command_JoinGroup{JoinGroup: join}}
	default:
		leave := &appv1.LeaveGroup{Stream: stream, Group: next.group}
		return &appv1.Command{Command: &appv1.Command_LeaveGroup{LeaveGroup: leave}}
	}
}

func (s *Settings) groupsThat(areJoined bool) []string {
	var found []string
	for group, isJoined := range s.groups {
		if isJoined == areJoined {
			found = append(found, group)
		}
	}
	slices.Sort(found)
	return found
}

func (s *Settings) setGroup(group string, isJoined bool) {
	if s.groups == nil {
		s.groups = map[string]bool{}
	}
	s.groups[group] = isJoined
}

// enqueue adds a setting. A repeated setting keeps the old position; the last value is sent.
func (s *Settings) enqueue(next setting) {
	if !slices.Contains(s.pending, next) {
		s.pending = append(s.pending, next)
	}
}

func (s *Settings) enqueueChange(next setting) uint64 {
	s.enqueue(next)
	s.changes++
	return s.changes
}
