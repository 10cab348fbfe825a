//! Decodes and validates the registration and the commands of an app instance.

use std::sync::Arc;

use minerva_proto::app::command::Command as Kind;
use minerva_proto::app::{
    Acknowledge, Command, Finish, Held, JoinGroup, LeaveGroup, Register, Reset, Send, SetLabel,
    SetLimits, Sync,
};
use minerva_proto::{ClaimTag, EventNumber, Features, MAX_NUMBER, MessageNumber, StreamNumber};

use crate::limits::{MAX_LIMIT_BYTES, MAX_LIMIT_MESSAGES};
use crate::partition::{AttributeChange, HeldStream, Mail, SessionId};
use crate::state::{
    MAX_RETAINED_AGE_MS, MAX_RETAINED_BYTES, MAX_RETAINED_MESSAGES, OutboxLimits, RetentionChange,
};
use crate::stream::InvalidCommand;
use crate::validation::{self, FieldError, MessageLists};

/// Delivery window per stream in bytes, if the registration has none.
const DEFAULT_WINDOW: usize = 262_144;
/// Longest idle limit: one week.
const MAX_IDLE_MS: u64 = 604_800_000;

/// A validated registration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) service: Arc<str>,
    pub(crate) instance_id: Arc<str>,
    pub(crate) window: usize,
    /// Features in use.
    pub(crate) features: Features,
    pub(crate) held: Vec<HeldStream>,
}

pub(crate) fn registration(register: Register) -> Result<Registration, FieldError> {
    let service = validation::service("register.service", &register.service)?;
    let id = register.instance_id;
    if !(1..=64).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FieldError::new("register.instance_id", "must be 1 to 64 of 0x21-0x7E"));
    }
    let window = match register.stream_window_bytes {
        0 => DEFAULT_WINDOW,
        bytes => bytes as usize,
    };
    // With tags first: of two entries with one number the first counts.
    let numbers = register.held_streams.into_iter().map(|number| StreamNumber(number).into());
    let held = register.held.into_iter().map(held).chain(numbers).collect();
    let features = Features::from_names(&register.features) & Features::APP;
    Ok(Registration { service, instance_id: id.into(), window, features, held })
}

fn held(held: Held) -> HeldStream {
    HeldStream {
        stream: StreamNumber(held.stream),
        created_tag: ClaimTag(held.created_tag),
        next_event: EventNumber(held.next_event),
        event_tag: ClaimTag(held.event_tag),
        next_send: MessageNumber(held.next_send),
        send_tag: ClaimTag(held.send_tag),
    }
}

/// Decodes a command; returns the stream number and the mail for the partition.
///
/// A command with an invalid field becomes a mail by which the partition refuses the command.
///
/// # Errors
/// If the command belongs to no stream.
pub(crate) fn command(
    session: SessionId,
    command: Command,
) -> Result<(StreamNumber, Mail), FieldError> {
    let kind =
        command.command.ok_or_else(|| FieldError::new("command", "exactly one must be set"))?;
    let change = |stream, change: Result<AttributeChange, FieldError>| {
        let stream = StreamNumber(stream);
        let mail = change.map(|change| Mail::ChangeAttributes { session, stream, change });
        (stream, None, mail)
    };
    let (stream, send, mail) = match kind {
        Kind::Register(_) => {
            return Err(FieldError::new("register", "only allowed as the first command"));
        }
        Kind::Acknowledge(Acknowledge { stream, event }) => {
            let (stream, event) = (StreamNumber(stream), EventNumber(event));
            (stream, None, Ok(Mail::Acknowledge { session, stream, event }))
        }
        Kind::Send(send) => {
            let (stream, first) = (StreamNumber(send.stream), MessageNumber(send.first));
            (stream, Some(first), self::send(session, send))
        }
        Kind::Reset(reset) => (StreamNumber(reset.stream), None, self::reset(session, reset)),
        Kind::Finish(finish) => (StreamNumber(finish.stream), None, self::finish(session, finish)),
        Kind::SetLimits(limits) => {
            (StreamNumber(limits.stream), None, set_limits(session, &limits))
        }
        Kind::SetLabel(SetLabel { stream, label }) => {
            change(stream, validation::label("set_label.label", label).map(AttributeChange::Label))
        }
        Kind::JoinGroup(JoinGroup { stream, group }) => {
            change(stream, validation::group("join_group.group", group).map(AttributeChange::Join))
        }
        Kind::LeaveGroup(LeaveGroup { stream, group }) => {
            let group = validation::group("leave_group.group", group);
            change(stream, group.map(AttributeChange::Leave))
        }
        Kind::Sync(Sync { stream, token }) => change(stream, Ok(AttributeChange::Confirm(token))),
    };
    let mail = mail.unwrap_or_else(|error| {
        let command = InvalidCommand { send, index: error.index(), detail: error.to_string() };
        Mail::InvalidCommand { session, stream, command }
    });
    Ok((stream, mail))
}

fn reset(session: SessionId, reset: Reset) -> Result<Mail, FieldError> {
    let stream = StreamNumber(reset.stream);
    let reset = validation::reset("reset.reason", reset.reason, reset.application_level)?;
    let (reason, application_level) = (reset.reason, reset.application_level);
    Ok(Mail::Reset { session, stream, reason, application_level })
}

fn finish(session: SessionId, finish: Finish) -> Result<Mail, FieldError> {
    let reset = validation::reset("finish.reason", finish.reason, true)?;
    Ok(Mail::Finish { session, stream: StreamNumber(finish.stream), reason: reset.reason.into() })
}

fn send(session: SessionId, send: Send) -> Result<Mail, FieldError> {
    if send.first > MAX_NUMBER {
        return Err(FieldError::new("send.first", "above 2^53"));
    }
    let lists = MessageLists {
        messages: ("send.messages", send.messages),
        contents: ("send.contents", send.contents),
    };
    let messages = lists.check(send.first)?;
    Ok(Mail::Send {
        session,
        stream: StreamNumber(send.stream),
        first: MessageNumber(send.first),
        messages,
        acknowledge: send.acknowledge.map(EventNumber),
    })
}

fn set_limits(session: SessionId, limits: &SetLimits) -> Result<Mail, FieldError> {
    let check = |field, value: Option<u64>, max: u64| match value {
        Some(value) if !(1..=max).contains(&value) => {
            Err(FieldError::new(field, format!("must be 1 to {max}")))
        }
        Some(_) | None => Ok(()),
    };
    let (bytes, messages) = (limits.outbox_bytes, limits.outbox_messages);
    check("set_limits.max_idle_ms", limits.max_idle_ms, MAX_IDLE_MS)?;
    let ack_timeout = limits.ack_timeout_ms.filter(|ms| *ms > 0);
    check("set_limits.ack_timeout_ms", ack_timeout, MAX_IDLE_MS)?;
    check("set_limits.outbox_bytes", bytes.map(Into::into), MAX_LIMIT_BYTES as u64)?;
    check("set_limits.outbox_messages", messages.map(Into::into), MAX_LIMIT_MESSAGES as u64)?;
    let (messages_kept, bytes_kept) = (limits.retained_messages, limits.retained_bytes);
    let above_0 = |value: Option<u32>| value.filter(|value| *value > 0).map(u64::from);
    let (max_messages, max_bytes) = (MAX_RETAINED_MESSAGES.into(), MAX_RETAINED_BYTES.into());
    check("set_limits.retained_messages", above_0(messages_kept), max_messages)?;
    check("set_limits.retained_bytes", above_0(bytes_kept), max_bytes)?;
    let age = limits.retained_age_ms.filter(|ms| *ms > 0);
    check("set_limits.retained_age_ms", age, MAX_RETAINED_AGE_MS)?;
    let retention = RetentionChange {
        messages: messages_kept,
        bytes: bytes_kept,
        age_ms: limits.retained_age_ms,
        hold: limits.hold,
    };
    Ok(Mail::SetLimits {
        session,
        stream: StreamNumber(limits.stream),
        max_idle_ms: limits.max_idle_ms,
        outbox: OutboxLimits { bytes, messages },
        retention,
        ack_timeout_ms: limits.ack_timeout_ms,
        compress: limits.compress,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use minerva_proto::app::{Message, message::Content};
    use proptest::prelude::*;

    use super::*;

    const SESSION: SessionId = SessionId(1);

    fn register(instance_id: &str) -> Register {
        Register {
            service: "default".to_owned(),
            instance_id: instance_id.to_owned(),
            ..Register::default()
        }
    }

    /// The field that the error names.
    fn rejected_field(kind: Option<Kind>) -> String {
        let detail = match command(SESSION, Command { command: kind }) {
            Err(error) => error.to_string(),
            Ok((_, Mail::InvalidCommand { command, .. })) => command.detail,
            Ok(_) => return "none".to_owned(),
        };
        detail.split(": ").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn an_identity_has_1_to_64_visible_characters() {
        for (length, ok) in [(0, false), (1, true), (63, true), (64, true), (65, false)] {
            assert_eq!(registration(register(&"i".repeat(length))).is_ok(), ok, "{length}");
        }
        for (id, ok) in [("a b", false), ("\u{7f}", false), ("é", false), ("!~", true)] {
            assert_eq!(registration(register(id)).is_ok(), ok, "{id}");
        }
    }

    #[test]
    fn an_omitted_window_has_the_default_size() {
        assert_eq!(registration(register("i")).unwrap().window, 262_144);
        let small = Register { stream_window_bytes: 1, ..register("i") };
        assert_eq!(registration(small).unwrap().window, 1);
    }

    #[test]
    fn a_held_stream_with_tags_precedes_its_number() {
        let held =
            Held { stream: 7, created_tag: 1, next_event: 2, event_tag: 3, ..Held::default() };
        let register = Register { held_streams: vec![7, 8], held: vec![held], ..register("i") };
        let with_tags = HeldStream {
            stream: StreamNumber(7),
            created_tag: ClaimTag(1),
            next_event: EventNumber(2),
            event_tag: ClaimTag(3),
            ..HeldStream::default()
        };
        let expected = [with_tags, StreamNumber(7).into(), StreamNumber(8).into()];
        assert_eq!(registration(register).unwrap().held, expected);
    }

    #[test]
    fn an_error_names_the_field() {
        let send = |first, message: &'static [u8]| {
            let messages = vec![Bytes::from_static(message)];
            Some(Kind::Send(Send {
                stream: 1,
                first,
                messages,
                acknowledge: None,
                contents: Vec::new(),
            }))
        };
        assert_eq!(rejected_field(None), "command");
        assert_eq!(rejected_field(Some(Kind::Register(register("i")))), "register");
        assert_eq!(rejected_field(send(MAX_NUMBER, b"ok")), "none");
        assert_eq!(rejected_field(send(MAX_NUMBER + 1, b"ok")), "send.first");
        assert_eq!(rejected_field(send(0, b"\n")), "send.messages");
        let reset = Reset { stream: 1, reason: "é".to_owned(), application_level: true };
        assert_eq!(rejected_field(Some(Kind::Reset(reset))), "reset.reason");
        for (reason, field) in [
            ("", "none"),
            ("bye", "none"),
            ("\n", "finish.reason"),
            (&"x".repeat(256), "finish.reason"),
        ] {
            let finish = Finish { stream: 1, reason: reason.to_owned() };
            assert_eq!(rejected_field(Some(Kind::Finish(finish))), field, "{reason}");
        }
    }

    #[test]
    fn an_idle_limit_is_1_ms_to_a_week() {
        let limits = |max_idle_ms| {
            rejected_field(Some(Kind::SetLimits(SetLimits { max_idle_ms, ..SetLimits::default() })))
        };
        for limit in [None, Some(1), Some(2), Some(MAX_IDLE_MS - 1), Some(MAX_IDLE_MS)] {
            assert_eq!(limits(limit), "none", "{limit:?}");
        }
        for limit in [0, MAX_IDLE_MS + 1, u64::MAX] {
            assert_eq!(limits(Some(limit)), "set_limits.max_idle_ms", "{limit}");
        }
    }

    #[test]
    fn a_limit_for_acknowledgements_is_at_most_a_week() {
        for (limit, expected) in [
            (0, "none"),
            (1, "none"),
            (MAX_IDLE_MS - 1, "none"),
            (MAX_IDLE_MS, "none"),
            (MAX_IDLE_MS + 1, "set_limits.ack_timeout_ms"),
        ] {
            let limits = SetLimits { ack_timeout_ms: Some(limit), ..SetLimits::default() };
            assert_eq!(rejected_field(Some(Kind::SetLimits(limits))), expected, "{limit}");
        }
    }

    #[test]
    fn the_limits_of_an_outbox_are_bounded() {
        let limits = |outbox_bytes, outbox_messages| {
            let limits = SetLimits { outbox_bytes, outbox_messages, ..SetLimits::default() };
            rejected_field(Some(Kind::SetLimits(limits)))
        };
        let most = MAX_LIMIT_BYTES as u32;
        for (bytes, ok) in
            [(0, false), (1, true), (most - 1, true), (most, true), (most + 1, false)]
        {
            let expected = if ok { "none" } else { "set_limits.outbox_bytes" };
            assert_eq!(limits(Some(bytes), None), expected, "{bytes}");
        }
        let most = MAX_LIMIT_MESSAGES as u32;
        for (count, ok) in
            [(0, false), (1, true), (most - 1, true), (most, true), (most + 1, false)]
        {
            let expected = if ok { "none" } else { "set_limits.outbox_messages" };
            assert_eq!(limits(None, Some(count)), expected, "{count}");
        }
    }

    #[test]
    fn a_command_goes_to_the_stream_it_names() {
        let acknowledge = Acknowledge { stream: 77, event: 5 };
        let command = Command { command: Some(Kind::Acknowledge(acknowledge)) };
        let (stream, mail) = super::command(SESSION, command).unwrap();
        assert_eq!(stream, StreamNumber(77));
        assert!(matches!(
            mail,
            Mail::Acknowledge { session: SESSION, stream: StreamNumber(77), event: EventNumber(5) }
        ));
    }

    #[test]
    fn an_invalid_command_keeps_the_stream_and_the_number_of_a_send() {
        let invalid = |kind| match command(SESSION, Command { command: Some(kind) }).unwrap() {
            (stream, Mail::InvalidCommand { stream: same, command, .. }) if stream == same => {
                (stream.0, command.send.map(|first| first.0), command.index)
            }
            (stream, _) => panic!("valid command of stream {stream}"),
        };
        let messages = vec!["ok".into(), "\n".into()];
        let send = Send { stream: 7, first: 5, messages, acknowledge: Some(1), ..Send::default() };
        assert_eq!(invalid(Kind::Send(send)), (7, Some(5), Some(1)));
        let text = |text: &'static [u8]| Message { content: Some(Content::Text(text.into())) };
        let contents = vec![text(b"\0"), text("é".as_bytes()), text(b"\xff")];
        let send = Send { stream: 7, first: 5, contents, ..Send::default() };
        assert_eq!(invalid(Kind::Send(send)), (7, Some(5), Some(2)));
        let (group, label) = (String::new(), "\n".to_owned());
        let kinds = [
            Kind::Reset(Reset { stream: 7, reason: "é".to_owned(), application_level: true }),
            Kind::SetLimits(SetLimits { stream: 7, max_idle_ms: Some(0), ..SetLimits::default() }),
            Kind::SetLabel(SetLabel { stream: 7, label }),
            Kind::JoinGroup(JoinGroup { stream: 7, group: group.clone() }),
            Kind::LeaveGroup(LeaveGroup { stream: 7, group }),
        ];
        for kind in kinds {
            assert_eq!(invalid(kind), (7, None, None));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// No input of an instance causes a panic.
        #[test]
        fn any_bytes_are_decoded_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let request: Result<Command, _> = prost::Message::decode(&bytes[..]);
            if let Ok(request) = request {
                let _ = command(SESSION, request);
            }
            let request: Result<Register, _> = prost::Message::decode(&bytes[..]);
            if let Ok(request) = request {
                let _ = registration(request);
            }
        }
    }
}
