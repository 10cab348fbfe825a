//! The application API: commands of an application and calls from outside in the core, events of a core in the SDK.

use minerva_proto::app::{self, event::Event};
use prost::Message;

pub mod app_command {
    //! Commands of an application service: each is accepted for the named stream, or rejected with a bounded text.

    use minerva_core::partition::Mail;
    use minerva_core::simulation;
    use minerva_core::stream::SessionId;
    use minerva_proto::{MAX_MESSAGE, is_message_allowed};

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(request) = app::ServeRequest::decode(input) else { return };
        for command in request.commands {
            if let Some(app::command::Command::Register(register)) = &command.command {
                check(simulation::registration(register.clone()).map(drop));
            }
            let addressed = stream_of(&command);
            let send = match &command.command {
                Some(app::command::Command::Send(send)) => send.messages.clone(),
                _ => Vec::new(),
            };
            match simulation::command(SessionId(1), command) {
                Ok((stream, Mail::InvalidCommand { command, .. })) => {
                    assert_eq!(Some(stream.0), addressed, "the command of another stream");
                    check(Err(command.detail));
                }
                Ok((stream, _)) => {
                    assert_eq!(Some(stream.0), addressed, "the command of another stream");
                    let legal = send
                        .iter()
                        .all(|message| message.len() <= MAX_MESSAGE && is_message_allowed(message));
                    assert!(legal, "an illegal message is accepted");
                }
                Err(error) => check(Err(error)),
            }
        }
    }

    fn check(result: Result<(), String>) {
        if let Err(error) = result {
            assert!(error.len() < 300, "an error repeats the input: {error}");
        }
    }

    fn stream_of(command: &app::Command) -> Option<u64> {
        use app::command::Command;
        Some(match command.command.as_ref()? {
            Command::Register(_) => return None,
            Command::Acknowledge(acknowledge) => acknowledge.stream,
            Command::Send(send) => send.stream,
            Command::Reset(reset) => reset.stream,
            Command::Finish(finish) => finish.stream,
            Command::SetLimits(limits) => limits.stream,
            Command::SetLabel(label) => label.stream,
            Command::JoinGroup(join) => join.stream,
            Command::LeaveGroup(leave) => leave.stream,
            Command::Sync(sync) => sync.stream,
        })
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        use app::command::Command;
        let stream = 1 << 48;
        let commands = [
            Command::Register(app::Register {
                service: "default".to_owned(),
                instance_id: "instance-1".to_owned(),
                stream_window_bytes: 4096,
                held_streams: vec![stream, stream + 1],
                max_version: 1,
                features: vec!["from-the-future".to_owned()],
                held: vec![app::Held {
                    stream,
                    created_tag: 7,
                    next_event: 4,
                    event_tag: 7,
                    next_send: 2,
                    send_tag: 9,
                }],
            }),
            Command::Acknowledge(app::Acknowledge { stream, event: 5 }),
            Command::Send(app::Send {
                stream,
                first: 3,
                messages: vec!["hello".into(), "".into()],
                acknowledge: Some(4),
                contents: Vec::new(),
            }),
            Command::Reset(app::Reset {
                stream,
                reason: "over".to_owned(),
                application_level: true,
            }),
            Command::SetLimits(app::SetLimits {
                stream,
                max_idle_ms: Some(1000),
                outbox_bytes: Some(65_536),
                outbox_messages: Some(10),
                ack_timeout_ms: Some(1000),
                compress: Some(true),
                retained_messages: Some(100),
                retained_bytes: Some(65_536),
                retained_age_ms: Some(60_000),
                hold: Some(true),
            }),
            Command::SetLabel(app::SetLabel { stream, label: "ann".to_owned() }),
            Command::JoinGroup(app::JoinGroup { stream, group: "room/1".to_owned() }),
            Command::LeaveGroup(app::LeaveGroup { stream, group: "room/1".to_owned() }),
        ];
        let commands = commands.map(|command| app::Command { command: Some(command) });
        let request = |commands| app::ServeRequest { commands }.encode_to_vec();
        let mut seeds: Vec<_> =
            commands.iter().map(|command| request(vec![command.clone()])).collect();
        seeds.push(request(commands.to_vec()));
        seeds
    }
}

pub mod stream_service {
    //! Calls from outside, selected by the first input byte: accepted ones are within the limits of the contract.

    use minerva_core::fuzzing;
    use minerva_proto::{MAX_MESSAGE, MAX_REASON, Payload, is_message_allowed};

    use super::*;

    pub fn run(input: &[u8]) {
        let Some((kind, bytes)) = input.split_first() else { return };
        let result = match kind % 5 {
            0 => app::SendRequest::decode(bytes)
                .map(|call| fuzzing::send(call).map(|sent| check_messages(&sent))),
            1 => app::SendManyRequest::decode(bytes).map(|call| {
                fuzzing::send_many(call).map(|(streams, sent)| {
                    assert!((1..=10_000).contains(&streams), "{streams} streams");
                    check_messages(&sent);
                })
            }),
            2 => app::SendToGroupRequest::decode(bytes).map(fuzzing::send_to_group),
            3 => app::ResetRequest::decode(bytes).map(|call| {
                fuzzing::reset(call).map(|reason| {
                    let is_legal =
                        reason.len() <= MAX_REASON && is_message_allowed(reason.as_bytes());
                    assert!(is_legal, "an illegal reason is accepted");
                })
            }),
            _ => app::ListRequest::decode(bytes).map(|call| {
                fuzzing::list(call)
                    .map(|page| assert!((1..=1000).contains(&page), "a page of {page}"))
            }),
        };
        if let Ok(Err(error)) = result {
            assert!(error.len() < 300, "an error repeats the input: {error}");
        }
    }

    fn check_messages(messages: &[Payload]) {
        assert!(!messages.is_empty(), "a call without messages is accepted");
        for message in messages {
            let is_legal = message.len() <= MAX_MESSAGE && is_message_allowed(message);
            assert!(is_legal, "an illegal message is accepted");
        }
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        use app::target::Target;
        let target =
            |target| Some(app::Target { target: Some(target), service: "chat".to_owned() });
        let targets = [
            Target::Stream(1 << 48),
            Target::StreamId(crate::hello::id().as_str().to_owned()),
            Target::Label("ann".to_owned()),
        ];
        let sends = targets.map(|to| app::SendRequest {
            target: target(to),
            messages: vec!["hello".into()],
            idempotency_key: "key".into(),
            contents: Vec::new(),
        });
        let many = app::SendManyRequest {
            streams: vec![1 << 48, (1 << 48) + 1, 2 << 48],
            messages: vec!["hello".into(), "".into()],
            idempotency_key: "key".into(),
            contents: Vec::new(),
        };
        let group = app::SendToGroupRequest {
            service: "chat".to_owned(),
            group: "room/1".to_owned(),
            messages: vec!["hello".into()],
            idempotency_key: "key".into(),
            after: 1 << 48,
            page_size: 1,
            contents: Vec::new(),
        };
        let reset = app::ResetRequest {
            target: target(Target::Stream(1 << 48)),
            reason: "over".to_owned(),
            application_level: true,
        };
        let list = app::ListRequest {
            service: "chat".to_owned(),
            page_size: 10,
            page_token: "281474976710656".to_owned(),
        };
        let mut seeds: Vec<_> = sends.iter().map(|send| call(0, &send.encode_to_vec())).collect();
        seeds.push(call(1, &many.encode_to_vec()));
        seeds.push(call(2, &group.encode_to_vec()));
        seeds.push(call(3, &reset.encode_to_vec()));
        seeds.push(call(4, &list.encode_to_vec()));
        seeds
    }

    fn call(kind: u8, bytes: &[u8]) -> Vec<u8> {
        [&[kind], bytes].concat()
    }
}

pub mod app_event {
    //! Events of a core: the application reads each event of a stream once and in order, up to a lost one, for any input of
    //! the session machine.

    use std::collections::BTreeMap;

    use bytes::Bytes;
    use minerva_app::Event as AppEvent;
    use minerva_app::simulation::{Arrival, Machine, Read, Signal};
    use minerva_proto::{EventNumber, StreamNumber};

    use super::*;

    pub fn run(input: &[u8]) {
        let Ok(response) = app::ServeResponse::decode(input) else { return };
        let mut machine = Machine::new(65_536);
        let (call, _) = machine.begin();
        let mut signals = Vec::new();
        let mut expected = BTreeMap::new();
        for event in response.events.into_iter().filter_map(|event| event.event) {
            if machine.on_event(call, event, &mut signals).is_err() {
                machine.end(call);
                break;
            }
            for signal in signals.drain(..) {
                react(&mut machine, &signal, &mut expected);
            }
        }
        let commands = machine.take_commands(call, 1 << 20);
        assert!(commands.iter().all(|command| command.command.is_some()), "an empty command");
    }

    /// The stream of the seeds: the first one of partition 1.
    const STREAM: u64 = 1 << 48;

    /// The behaviour of an application that reads, acknowledges and answers; `expected` has the next event by stream.
    fn react(
        machine: &mut Machine,
        signal: &Signal,
        expected: &mut BTreeMap<StreamNumber, EventNumber>,
    ) {
        let (Signal::Arrived(Arrival { number, .. })
        | Signal::Readable(number)
        | Signal::Writable(number)
        | Signal::Ended(number, _)
        | Signal::Released(number)) = *signal;
        if let Signal::Arrived(arrival) = signal {
            expected.insert(number, arrival.next_event.max(EventNumber(1)));
        }
        while let Read::Event(event) = machine.read(number) {
            let (event, is_end) = match event {
                AppEvent::Message { event, .. } => (event, false),
                AppEvent::Ended { event, .. } => (event, true),
                AppEvent::TransportChanged(_) | AppEvent::Released | _ => continue,
            };
            if let Some(next) = expected.insert(number, event.next()) {
                // Messages behind an event that the core has lost are dropped, up to the end.
                assert!(event == next || is_end && event > next, "{event} instead of {next}");
            }
            machine.acknowledge(number, event);
        }
        let sent = machine.send(number, "answer".into());
        let next = machine.next_send(number);
        assert!(sent.is_none() || next.is_some(), "a send to a stream that is not held");
    }

    pub fn seeds() -> Vec<Vec<u8>> {
        let whole = vec![
            registered(),
            owned(),
            started(),
            messages(1, &["a", "b"]),
            transport_changed(),
            send_state(),
            Event::SendRefused(app::SendRefused {
                stream: STREAM,
                first: 0,
                next_send: 0,
                reason: 1,
                detail: String::new(),
                index: None,
            }),
            Event::GroupRefused(app::GroupRefused { stream: STREAM, group: "room".to_owned() }),
            Event::Synced(app::Synced { stream: STREAM, token: 1 }),
            messages(2, &["b", "c"]),
            ended(),
            Event::PartitionLeft(app::PartitionLeft { partition: 1 }),
        ];
        let released = Event::Released(app::Released { stream: STREAM, lost: true, epoch: 1 });
        let moved = vec![registered(), owned(), started(), released];
        [whole, moved, vec![registered()], vec![transport_changed()]].map(response).to_vec()
    }

    fn registered() -> Event {
        Event::Registered(app::Registered {
            outbox_bytes: 1 << 20,
            outbox_messages: 1000,
            max_message_bytes: 1 << 20,
            core_id: "core-1".to_owned(),
            max_version: 1,
            features: vec!["from-the-future".to_owned()],
        })
    }

    fn owned() -> Event {
        Event::PartitionOwned(app::PartitionOwned { partition: 1, epoch: 3, ..Default::default() })
    }

    fn started() -> Event {
        Event::Started(app::Started {
            stream: STREAM,
            stream_id: crate::hello::id().as_str().to_owned(),
            credentials: "token".to_owned(),
            headers: vec![app::Header { name: "user-agent".to_owned(), value: "x".to_owned() }],
            ..app::Started::default()
        })
    }

    fn messages(first_event: u64, texts: &[&'static str]) -> Event {
        let messages = texts.iter().map(|text| Bytes::from(*text)).collect();
        Event::Messages(app::Messages {
            stream: STREAM,
            first_event,
            messages,
            tag: 7,
            attempts: 2,
            contents: Vec::new(),
        })
    }

    fn transport_changed() -> Event {
        Event::TransportChanged(app::TransportChanged {
            stream: STREAM,
            attached: true,
            primary: true,
            transports: 1,
            ..Default::default()
        })
    }

    fn send_state() -> Event {
        Event::SendState(app::SendState {
            stream: STREAM,
            next_send: 1,
            bytes_left: 10,
            messages_left: 1,
            paused: true,
            tag: 7,
        })
    }

    fn ended() -> Event {
        Event::Ended(app::Ended {
            stream: STREAM,
            event: 3,
            reason: "over".to_owned(),
            application_level: true,
            by: 1,
        })
    }

    fn response(events: Vec<Event>) -> Vec<u8> {
        let events = events.into_iter().map(|event| app::Event { event: Some(event) }).collect();
        app::ServeResponse { events }.encode_to_vec()
    }
}
