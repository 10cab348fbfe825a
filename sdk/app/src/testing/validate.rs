//! The rules of `app.proto` for single commands. This SDK cannot break them: an error reveals a defect of the
//! SDK, or a call made without the SDK.

use minerva_proto::app::message::Content;
use minerva_proto::app::{Register, Send, SetLimits, command};
use minerva_proto::labels::{is_group, is_label};
use minerva_proto::{MAX_REASON, ServiceName, is_message_allowed};

/// Upper limits of the settings of a stream.
const MAX_IDLE_MS: u64 = 604_800_000;
const MAX_OUTBOX: (u32, u32) = (6 << 20, 100_000);
/// Longest instance id, in bytes.
const MAX_INSTANCE_ID: usize = 64;

/// An invalid field of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(super) struct CommandError {
    field: &'static str,
    problem: String,
}

impl CommandError {
    pub(super) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

pub(super) fn register(register: &Register) -> Result<(), CommandError> {
    let (service, id) = (&register.service, &register.instance_id);
    if let Err(problem) = ServiceName::check(service) {
        return Err(CommandError::new("register.service", problem.to_string()));
    }
    let fits = (1..=MAX_INSTANCE_ID).contains(&id.len());
    rule("register.instance_id", fits && is_visible(id), "must be 1 to 64 of 0x21-0x7E")
}

pub(super) fn command(command: &command::Command, max_message: usize) -> Result<(), CommandError> {
    match command {
        command::Command::Register(_) => {
            rule("register", false, "only allowed as the first command")
        }
        command::Command::Acknowledge(_) | command::Command::Sync(_) => Ok(()),
        command::Command::Send(send) => self::send(send, max_message),
        command::Command::Reset(reset) => reason("reset.reason", &reset.reason),
        command::Command::Finish(finish) => reason("finish.reason", &finish.reason),
        command::Command::SetLimits(limits) => self::limits(limits),
        command::Command::SetLabel(set) => {
            rule("set_label.label", is_label(&set.label), "must be at most 256 of 0x20-0x7E")
        }
        command::Command::JoinGroup(join) => group("join_group.group", &join.group),
        command::Command::LeaveGroup(leave) => group("leave_group.group", &leave.group),
    }
}

fn reason(field: &'static str, reason: &str) -> Result<(), CommandError> {
    let is_valid = reason.len() <= MAX_REASON && is_message_allowed(reason.as_bytes());
    rule(field, is_valid, "must be at most 255 of 0x20-0x7E")
}

fn send(send: &Send, max_message: usize) -> Result<(), CommandError> {
    for message in &send.messages {
        length("send.messages", message.len(), max_message)?;
        rule("send.messages", is_message_allowed(message), "only bytes 0x20-0x7E are allowed")?;
    }
    for content in send.contents.iter().filter_map(|message| message.content.as_ref()) {
        let (Content::Text(bytes) | Content::Binary(bytes)) = content;
        length("send.contents", bytes.len(), max_message)?;
    }
    let is_one_list = send.messages.is_empty() || send.contents.is_empty();
    rule("send", is_one_list, "either messages or contents")
}

fn length(field: &'static str, length: usize, max: usize) -> Result<(), CommandError> {
    rule(field, length <= max, "one is longer than the longest message")
}

fn limits(limits: &SetLimits) -> Result<(), CommandError> {
    let idle = limits.max_idle_ms.is_none_or(|ms| (1..=MAX_IDLE_MS).contains(&ms));
    rule("set_limits.max_idle_ms", idle, "must be 1 to 604800000")?;
    let timeout = limits.ack_timeout_ms.is_none_or(|ms| ms <= MAX_IDLE_MS);
    rule("set_limits.ack_timeout_ms", timeout, "must be 0 to 604800000")?;
    let bytes = limits.outbox_bytes.is_none_or(|bytes| (1..=MAX_OUTBOX.0).contains(&bytes));
    rule("set_limits.outbox_bytes", bytes, "must be 1 to 6291456")?;
    let messages = limits.outbox_messages.is_none_or(|count| (1..=MAX_OUTBOX.1).contains(&count));
    rule("set_limits.outbox_messages", messages, "must be 1 to 100000")
}

fn group(field: &'static str, group: &str) -> Result<(), CommandError> {
    rule(field, is_group(group), "must be 1 to 128 of 0x21-0x7E")
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn rule(field: &'static str, kept: bool, problem: &str) -> Result<(), CommandError> {
    if kept { Ok(()) } else { Err(CommandError::new(field, problem)) }
}
