//! The settings of one stream: limits, label and groups. They are sent again on each attachment, because a
//! lost core may not have stored them. Changes of label and groups are numbered and confirmed. Pure; owned by the stream.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::StreamNumber;
use minerva_proto::app::{JoinGroup, LeaveGroup, SetLabel, SetLimits, Sync, command};
use minerva_proto::labels::MAX_GROUPS;

/// Most left groups to repeat on a new attachment; the alphabetically first is forgotten beyond.
const MAX_LEFT: usize = 256;

/// The settings made by the app.
#[derive(Debug, Default)]
pub(super) struct Settings {
    limits: SetLimits,
    label: Option<String>,
    /// Joined groups (`true`) and left groups (`false`).
    groups: BTreeMap<String, bool>,
    /// Settings not sent on this attachment, in order.
    pending: VecDeque<Setting>,
    /// Number of changes of label and groups so far.
    changes: u64,
    /// Token of the last Sync of this attachment: the number of the last change in front of it.
    sync_sent: u64,
    /// All changes up to this number are durable.
    confirmed: u64,
}

/// The stream is in the maximal number of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyGroupsError;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    Limits,
    Label,
    Group(String),
}

impl Settings {
    /// Changes the limits that are set in `limits`.
    pub(super) fn set_limits(&mut self, limits: SetLimits) {
        let or = |news: Option<u32>, old: Option<u32>| news.or(old);
        self.limits = SetLimits {
            stream: 0,
            max_idle_ms: limits.max_idle_ms.or(self.limits.max_idle_ms),
            outbox_bytes: or(limits.outbox_bytes, self.limits.outbox_bytes),
            outbox_messages: or(limits.outbox_messages, self.limits.outbox_messages),
            ack_timeout_ms: limits.ack_timeout_ms.or(self.limits.ack_timeout_ms),
            compress: limits.compress.or(self.limits.compress),
            retained_messages: or(limits.retained_messages, self.limits.retained_messages),
            retained_bytes: or(limits.retained_bytes, self.limits.retained_bytes),
            retained_age_ms: limits.retained_age_ms.or(self.limits.retained_age_ms),
            hold: limits.hold.or(self.limits.hold),
        };
        self.enqueue(Setting::Limits);
    }

    /// The outbox limit in messages, if set by the app.
    pub(super) fn outbox_messages(&self) -> Option<u32> {
        self.limits.outbox_messages
    }

    /// Sets the label. Like [`Self::join`] and [`Self::leave`] returns the number of the change.
    pub(super) fn set_label(&mut self, label: String) -> u64 {
        self.label = Some(label);
        self.enqueue_change(Setting::Label)
    }

    /// Joins a group.
    ///
    /// # Errors
    /// If the stream is in the maximal number of groups.
    pub(super) fn join(&mut self, group: String) -> Result<u64, TooManyGroupsError> {
        let joined = self.groups.values().filter(|&&joined| joined).count();
        if self.groups.get(&group) != Some(&true) && joined >= MAX_GROUPS {
            return Err(TooManyGroupsError);
        }
        self.groups.insert(group.clone(), true);
        Ok(self.enqueue_change(Setting::Group(group)))
    }

    pub(super) fn leave(&mut self, group: String) -> u64 {
        if self.groups.get(&group) != Some(&false) {
            let left = self.groups.iter().filter(|(_, joined)| !**joined);
            if left.clone().count() >= MAX_LEFT
                && let Some(first) = left.map(|(group, _)| group.clone()).next()
            {
                self.groups.remove(&first);
            }
        }
        self.groups.insert(group.clone(), false);
        self.enqueue_change(Setting::Group(group))
    }

    /// The core has refused to add the stream to a group.
    pub(super) fn on_refused(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// Whether the group was joined or left and the core has not refused the change.
    pub(super) fn has_changed(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// The core has confirmed all changes up to the token.
    pub(super) fn on_synced(&mut self, token: u64) {
        self.confirmed = self.confirmed.max(token.min(self.changes));
    }

    /// The core has confirmed sends. Without Sync this confirms all commands in front.
    pub(super) fn on_send_state(&mut self, has_sync: bool) {
        if !has_sync && self.pending.is_empty() {
            self.confirmed = self.changes;
        }
    }

    /// Whether a change is durable.
    pub(super) fn is_confirmed(&self, change: u64) -> bool {
        self.confirmed >= change
    }

    /// Whether all changes are sent and some are not confirmed.
    pub(super) fn awaits_confirmation(&self) -> bool {
        self.pending.is_empty() && self.confirmed < self.changes
    }

    /// Ends the attachment: all settings are sent on the next one.
    pub(super) fn detach(&mut self) {
        self.sync_sent = self.confirmed;
        self.pending.clear();
        if self.limits != SetLimits::default() {
            self.pending.push_back(Setting::Limits);
        }
        if self.label.is_some() {
            self.pending.push_back(Setting::Label);
        }
        self.pending.extend(self.groups.keys().cloned().map(Setting::Group));
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a command is ready, for a core with or without Sync.
    pub(super) fn has_commands(&self, has_sync: bool) -> bool {
        self.has_pending() || (has_sync && self.sync_sent < self.changes)
    }

    /// Takes the next command: the settings, then the Sync that confirms them.
    pub(super) fn next_command(
        &mut self,
        stream: StreamNumber,
        has_sync: bool,
    ) -> Option<command::Command> {
        let stream = stream.0;
        while let Some(setting) = self.pending.pop_front() {
            let command = match setting {
                Setting::Limits => command::Command::SetLimits(SetLimits { stream, ..self.limits }),
                Setting::Label => {
                    let Some(label) = self.label.clone() else { continue };
                    command::Command::SetLabel(SetLabel { stream, label })
                }
                Setting::Group(group) => match self.groups.get(&group) {
                    Some(true) => command::Command::JoinGroup(JoinGroup { stream, group }),
                    Some(false) => command::Command::LeaveGroup(LeaveGroup { stream, group }),
                    None => continue,
                },
            };
            return Some(command);
        }
        if has_sync && self.sync_sent < self.changes {
            self.sync_sent = self.changes;
            return Some(command::Command::Sync(Sync { stream, token: self.changes }));
        }
        None
    }

    fn enqueue_change(&mut self, setting: Setting) -> u64 {
        self.enqueue(setting);
        self.changes += 1;
        self.changes
    }

    /// Marks a setting for sending. A repeated setting keeps the old position; the last value is sent.
    fn enqueue(&mut self, setting: Setting) {
        if !self.pending.contains(&setting) {
            self.pending.push_back(setting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(settings: &mut Settings) -> Vec<String> {
        let text = |command| match command {
            command::Command::SetLimits(limits) => {
                format!("{:?} {:?}", limits.max_idle_ms, limits.outbox_bytes)
            }
            command::Command::SetLabel(label) => format!("label {}", label.label),
            command::Command::JoinGroup(join) => format!("+{}", join.group),
            command::Command::LeaveGroup(leave) => format!("-{}", leave.group),
            command::Command::Sync(sync) => format!("sync {}", sync.token),
            command::Command::Register(_)
            | command::Command::Acknowledge(_)
            | command::Command::Send(_)
            | command::Command::Reset(_)
            | command::Command::Finish(_) => panic!("no setting"),
        };
        std::iter::from_fn(|| settings.next_command(StreamNumber(1), true)).map(text).collect()
    }

    #[test]
    fn each_attachment_gets_the_last_values_once() {
        let mut settings = Settings::default();
        settings.detach();
        assert!(!settings.has_pending());
        settings.set_limits(SetLimits { max_idle_ms: Some(5), ..SetLimits::default() });
        settings.set_limits(SetLimits { outbox_bytes: Some(7), ..SetLimits::default() });
        settings.set_label("ann".to_owned());
        assert_eq!((settings.join("b".to_owned()), settings.join("a".to_owned())), (Ok(2), Ok(3)));
        settings.leave("b".to_owned());
        let all = ["Some(5) Some(7)", "label ann", "-b", "+a", "sync 4"];
        assert_eq!(commands(&mut settings), all);
        assert!(!settings.has_pending());
        settings.set_label(String::new());
        assert_eq!(commands(&mut settings), ["label ", "sync 5"]);
        settings.detach();
        assert_eq!(commands(&mut settings), ["Some(5) Some(7)", "label ", "+a", "-b", "sync 5"]);
    }

    #[test]
    fn a_change_is_confirmed_by_a_later_sync_of_any_attachment() {
        let mut settings = Settings::default();
        let joined = settings.join("a".to_owned()).unwrap();
        assert_eq!(commands(&mut settings), ["+a", "sync 1"]);
        let left = settings.leave("b".to_owned());
        settings.on_synced(joined);
        assert_eq!((settings.is_confirmed(joined), settings.is_confirmed(left)), (true, false));
        settings.detach();
        assert_eq!(commands(&mut settings), ["+a", "-b", "sync 2"]);
        settings.detach();
        assert_eq!(commands(&mut settings), ["+a", "-b", "sync 2"], "the answer was lost");
        settings.on_synced(left);
        assert!(settings.is_confirmed(left) && !settings.has_commands(true));
    }

    #[test]
    fn a_core_without_sync_confirms_sent_changes_by_the_state_of_sends() {
        let mut settings = Settings::default();
        let joined = settings.join("a".to_owned()).unwrap();
        settings.on_send_state(false);
        assert!(!settings.is_confirmed(joined), "not sent yet");
        assert!(settings.next_command(StreamNumber(1), false).is_some());
        assert_eq!(settings.next_command(StreamNumber(1), false), None);
        assert!(settings.awaits_confirmation() && !settings.has_commands(false));
        settings.on_send_state(false);
        assert!(settings.is_confirmed(joined) && !settings.awaits_confirmation());
    }

    #[test]
    fn groups_are_bounded() {
        let mut settings = Settings::default();
        for (number, fits) in (0..65).map(|number| (number, number < 64)) {
            assert_eq!(settings.join(format!("g{number}")).is_ok(), fits, "{number}");
        }
        assert!(settings.join("g0".to_owned()).is_ok(), "it is there");
        settings.leave("g0".to_owned());
        assert!(settings.join("more".to_owned()).is_ok());
        for number in 0..1000 {
            settings.leave(format!("x{number}"));
        }
        assert_eq!(settings.groups.len(), 64 + MAX_LEFT);
    }
}
