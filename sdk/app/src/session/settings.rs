//! The settings of one stream: limits, label and groups. They are sent again on each attachment, because a
//! lost core may not have stored them. Pure; owned by the stream.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::StreamNumber;
use minerva_proto::app::{JoinGroup, LeaveGroup, SetLabel, SetLimits, command};
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
}

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
        };
        self.enqueue(Setting::Limits);
    }

    /// The outbox limit in messages, if set by the app.
    pub(super) fn outbox_messages(&self) -> Option<u32> {
        self.limits.outbox_messages
    }

    pub(super) fn set_label(&mut self, label: String) {
        self.label = Some(label);
        self.enqueue(Setting::Label);
    }

    /// Joins a group. Returns `false` if the stream is in the maximal number of groups.
    pub(super) fn join(&mut self, group: String) -> bool {
        let joined = self.groups.values().filter(|&&joined| joined).count();
        if self.groups.get(&group) != Some(&true) && joined >= MAX_GROUPS {
            return false;
        }
        self.groups.insert(group.clone(), true);
        self.enqueue(Setting::Group(group));
        true
    }

    pub(super) fn leave(&mut self, group: String) {
        if self.groups.get(&group) != Some(&false) {
            let left = self.groups.iter().filter(|(_, joined)| !**joined);
            if left.clone().count() >= MAX_LEFT
                && let Some(first) = left.map(|(group, _)| group.clone()).next()
            {
                self.groups.remove(&first);
            }
        }
        self.groups.insert(group.clone(), false);
        self.enqueue(Setting::Group(group));
    }

    /// The core has refused to add the stream to a group.
    pub(super) fn on_refused(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// Ends the attachment: all settings are sent on the next one.
    pub(super) fn detach(&mut self) {
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

    /// Takes the next command.
    pub(super) fn next_command(&mut self, stream: StreamNumber) -> Option<command::Command> {
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
        None
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
            command::Command::Register(_)
            | command::Command::Acknowledge(_)
            | command::Command::Send(_)
            | command::Command::Reset(_)
            | command::Command::Finish(_) => panic!("no setting"),
        };
        std::iter::from_fn(|| settings.next_command(StreamNumber(1))).map(text).collect()
    }

    #[test]
    fn each_attachment_gets_the_last_values_once() {
        let mut settings = Settings::default();
        settings.detach();
        assert!(!settings.has_pending());
        settings.set_limits(SetLimits { max_idle_ms: Some(5), ..SetLimits::default() });
        settings.set_limits(SetLimits { outbox_bytes: Some(7), ..SetLimits::default() });
        settings.set_label("ann".to_owned());
        assert!(settings.join("b".to_owned()) && settings.join("a".to_owned()));
        settings.leave("b".to_owned());
        assert_eq!(commands(&mut settings), ["Some(5) Some(7)", "label ann", "-b", "+a"]);
        assert!(!settings.has_pending());
        settings.set_label(String::new());
        assert_eq!(commands(&mut settings), ["label "]);
        settings.detach();
        assert_eq!(commands(&mut settings), ["Some(5) Some(7)", "label ", "+a", "-b"]);
    }

    #[test]
    fn groups_are_bounded() {
        let mut settings = Settings::default();
        for (number, fits) in (0..65).map(|number| (number, number < 64)) {
            assert_eq!(settings.join(format!("g{number}")), fits, "{number}");
        }
        assert!(settings.join("g0".to_owned()), "it is there");
        settings.leave("g0".to_owned());
        assert!(settings.join("more".to_owned()));
        for number in 0..1000 {
            settings.leave(format!("x{number}"));
        }
        assert_eq!(settings.groups.len(), 64 + MAX_LEFT);
    }
}
