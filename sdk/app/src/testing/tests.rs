//! Misuse of the kit's core by calls that no app of this SDK makes: the core keeps the contract.

use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{
    Acknowledge, Command, JoinGroup, Register, Reset, Send, SendRefusedReason, ServeRequest,
    ServeResponse, SetLabel, SetLimits, command, event,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Client, ClientStream, Core, Kit};

/// A Serve call without the SDK.
struct RawCall {
    requests: mpsc::Sender<ServeRequest>,
    responses: Streaming<ServeResponse>,
    events: std::collections::VecDeque<event::Event>,
}

impl RawCall {
    async fn begin(core: &Core, first: command::Command) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(8);
        requests.try_send(request(Some(first))).unwrap();
        let mut client = AppServiceClient::new(core.server());
        let responses = client.serve(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { requests, responses, events: Default::default() })
    }

    async fn registered(kit: &Kit, held_streams: Vec<u64>) -> Self {
        let register = Register { held_streams, ..register("default", "a") };
        Self::begin(&kit.core, command::Command::Register(register)).await.unwrap()
    }

    async fn send_command(&self, command: command::Command) {
        self.requests.send(request(Some(command))).await.unwrap();
    }

    async fn next_event(&mut self) -> Result<event::Event, Status> {
        while self.events.is_empty() {
            let response = self.responses.message().await?.unwrap();
            self.events.extend(response.events.into_iter().filter_map(|event| event.event));
        }
        Ok(self.events.pop_front().unwrap())
    }

    /// Waits for the status that ends the call.
    async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.next_event().await {
                return status;
            }
        }
    }
}

fn register(service: &str, instance_id: &str) -> Register {
    let (service, instance_id) = (service.to_owned(), instance_id.to_owned());
    Register { service, instance_id, ..Register::default() }
}

fn request(command: Option<command::Command>) -> ServeRequest {
    ServeRequest { commands: vec![Command { command }] }
}

fn send(first: u64, messages: &[&'static str], acknowledge: Option<u64>) -> command::Command {
    let messages = messages.iter().map(|message| message.as_bytes().into()).collect();
    command::Command::Send(Send { stream: 1, first, messages, acknowledge, contents: Vec::new() })
}

fn acknowledge(stream: u64, event: u64) -> command::Command {
    command::Command::Acknowledge(Acknowledge { stream, event })
}

/// A core with one stream that has one message.
async fn kit() -> (Kit, ClientStream) {
    let kit = Kit::new().outbox(1000, 3).max_message_bytes(4);
    let client = kit.connect(Client::new());
    client.send("a").await;
    (kit, client)
}

#[tokio::test]
async fn an_invalid_command_ends_the_call_and_names_the_field() {
    let reset = Reset { stream: 1, reason: "x".repeat(256), application_level: true };
    let no_bytes = SetLimits { stream: 1, outbox_bytes: Some(0), ..SetLimits::default() };
    let group = JoinGroup { stream: 1, group: "a b".to_owned() };
    let register = command::Command::Register(register("default", "a"));
    for (command, problem) in [
        (None, "command: exactly one must be set"),
        (Some(register), "register: only allowed as the first command"),
        (Some(acknowledge(1, 2)), "acknowledge.event: stream 1 has no event 2"),
        (Some(send(0, &["x"], Some(2))), "send.acknowledge: stream 1 has no event 2"),
        (Some(send(0, &["\n"], None)), "send.messages: only bytes 0x20-0x7E are allowed"),
        (Some(send(0, &["12345"], None)), "send.messages: one is longer than the longest message"),
        (Some(command::Command::Reset(reset)), "reset.reason: must be at most 255"),
        (Some(command::Command::SetLimits(no_bytes)), "set_limits.outbox_bytes: must be 1 to"),
        (Some(command::Command::JoinGroup(group)), "join_group.group: must be 1 to 128"),
    ] {
        let (kit, client) = kit().await;
        let call = RawCall::registered(&kit, vec![]).await;
        call.requests.send(request(command)).await.unwrap();
        let status = call.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{problem}");
        assert!(status.message().starts_with(problem), "{}", status.message());
        let waiting = tokio::spawn(async move { client.recv().await });
        let panic = waiting.await.unwrap_err().into_panic();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.starts_with(&format!("the app broke the contract: {problem}")), "{text}");
    }
}

#[tokio::test]
async fn a_call_begins_with_a_valid_registration() {
    for (first, problem) in [
        (acknowledge(1, 0), "register: must be the first command"),
        (
            command::Command::Register(register("Default", "a")),
            "register.service: a service name is",
        ),
        (command::Command::Register(register("default", "")), "register.instance_id: must be"),
    ] {
        let (kit, _client) = kit().await;
        let Err(status) = RawCall::begin(&kit.core, first).await else { panic!("{problem}") };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(problem), "{}", status.message());
    }
}

#[tokio::test]
async fn sends_are_applied_once_in_order_and_atomically() {
    let (kit, client) = kit().await;
    let mut call = RawCall::registered(&kit, vec![]).await;
    while !matches!(call.next_event().await.unwrap(), event::Event::PartitionOwned(_)) {}
    for (command, next_send, refused) in [
        (send(0, &["x", "y"], Some(0)), 2, None),
        (send(0, &["x", "y"], None), 2, None),
        (send(3, &["z"], None), 2, Some(SendRefusedReason::OutOfOrder)),
        (send(2, &["z", "z"], Some(1)), 2, Some(SendRefusedReason::ResourceExhausted)),
        (send(1, &["y", "z"], Some(1)), 3, None),
    ] {
        call.send_command(command).await;
        let answer = call.next_event().await.unwrap();
        if let event::Event::SendRefused(why) = &answer {
            assert_eq!((why.next_send, Some(why.reason())), (next_send, refused));
        } else {
            let event::Event::SendState(state) = answer else { panic!("{answer:?}") };
            assert_eq!((state.next_send, None), (next_send, refused));
        }
        assert_eq!(client.unacknowledged(), usize::from(next_send < 3));
    }
    for message in ["x", "y", "z"] {
        assert_eq!(client.recv().await.unwrap(), message);
    }
}

#[tokio::test]
async fn acknowledgements_of_undelivered_events_have_no_effect() {
    let kit = Kit::new();
    let client = kit.connect(Client::new());
    client.send("a").await;
    client.send("b").await;
    let window = Register { stream_window_bytes: 1, ..register("default", "a") };
    let mut call = RawCall::begin(&kit.core, command::Command::Register(window)).await.unwrap();
    while !matches!(call.next_event().await.unwrap(), event::Event::PartitionOwned(_)) {}
    call.send_command(acknowledge(1, 2)).await;
    call.send_command(send(0, &["x"], Some(2))).await;
    call.send_command(send(0, &["y"], Some(1))).await;
    assert_eq!(client.recv().await.unwrap(), "y");
    assert_eq!(client.unacknowledged(), 1);
}

#[tokio::test]
async fn ended_streams_are_released_and_refuse_sends() {
    let (kit, client) = kit().await;
    let mut call = RawCall::registered(&kit, vec![]).await;
    client.reset("bye");
    while !matches!(call.next_event().await.unwrap(), event::Event::Ended(ended) if ended.event == 2)
    {
    }
    call.send_command(acknowledge(1, 2)).await;
    client.wait_acknowledged().await;
    let mut call = RawCall::registered(&kit, vec![1, 7]).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event| !matches!(event, event::Event::PartitionOwned(_))) {
        events.push(call.next_event().await.unwrap());
    }
    let released = events.iter().filter(|event| matches!(event, event::Event::Released(_)));
    assert_eq!((released.count(), events.len()), (2, 4), "{events:?}");
    call.send_command(send(0, &["x"], None)).await;
    let event::Event::SendRefused(refused) = call.next_event().await.unwrap() else { panic!() };
    assert_eq!(refused.reason(), SendRefusedReason::Ended);
}

#[tokio::test]
async fn a_second_call_ends_the_first() {
    let (kit, _client) = kit().await;
    let first = RawCall::registered(&kit, vec![]).await;
    let _second = RawCall::registered(&kit, vec![]).await;
    assert_eq!(first.end().await.code(), Code::Aborted);
}

#[tokio::test]
async fn commands_of_a_crashed_app_are_ignored() {
    let (mut kit, client) = kit().await;
    let _service = kit.service("default");
    let before = kit.core.clone();
    let call = RawCall::registered(&kit, vec![]).await;
    kit.crash_app();
    // The send may fail: the call has ended.
    let _ = call.requests.send(request(Some(send(0, &["x"], Some(1))))).await;
    assert_eq!(call.end().await.code(), Code::Unavailable);
    let register = command::Command::Register(register("default", "a"));
    let Err(status) = RawCall::begin(&before, register).await else { panic!() };
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!((client.unacknowledged(), client.try_recv()), (1, None));
}

#[tokio::test]
async fn settings_of_an_ended_stream_have_no_effect() {
    let (kit, client) = kit().await;
    let call = RawCall::registered(&kit, vec![]).await;
    let label = |label: &str| SetLabel { stream: 1, label: label.to_owned() };
    call.send_command(command::Command::SetLabel(label("ann"))).await;
    call.send_command(acknowledge(1, 1)).await;
    client.wait_acknowledged().await;
    client.reset("bye");
    call.send_command(command::Command::SetLabel(label("bob"))).await;
    call.send_command(acknowledge(1, 2)).await;
    client.wait_acknowledged().await;
    assert_eq!(client.label(), "ann");
}

#[tokio::test]
async fn a_stream_is_in_at_most_64_groups() {
    let (kit, client) = kit().await;
    let mut call = RawCall::registered(&kit, vec![]).await;
    while !matches!(call.next_event().await.unwrap(), event::Event::PartitionOwned(_)) {}
    for group in (0..=64).chain([0]).map(|number| format!("g{number}")) {
        call.send_command(command::Command::JoinGroup(JoinGroup { stream: 1, group })).await;
    }
    let event::Event::GroupRefused(refused) = call.next_event().await.unwrap() else { panic!() };
    assert_eq!((refused.stream, refused.group.as_str()), (1, "g64"));
    call.send_command(acknowledge(1, 1)).await;
    client.wait_acknowledged().await;
    assert_eq!(client.groups().len(), 64);
}
