//! The kit's core keeps the contract also towards who breaks it: calls that no app of this SDK would make.

use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{
    Acknowledge, Command, JoinGroup, Register, Reset, Send, SendRefusedReason, ServeRequest,
    ServeResponse, SetLabel, SetLimits, command, event,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Client, ClientStream, Core, Kit};

/// An app's call by hand.
struct Call {
    requests: mpsc::Sender<ServeRequest>,
    responses: Streaming<ServeResponse>,
    heard: std::collections::VecDeque<event::Event>,
}

impl Call {
    async fn begin(core: &Core, first: command::Command) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(8);
        requests.try_send(request(Some(first))).unwrap();
        let mut client = AppServiceClient::new(core.server());
        let responses = client.serve(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { requests, responses, heard: Default::default() })
    }

    async fn registered(kit: &Kit, held_streams: Vec<u64>) -> Self {
        let register = Register { held_streams, ..register("default", "a") };
        Self::begin(&kit.core, command::Command::Register(register)).await.unwrap()
    }

    async fn say(&self, command: command::Command) {
        self.requests.send(request(Some(command))).await.unwrap();
    }

    async fn hear(&mut self) -> Result<event::Event, Status> {
        while self.heard.is_empty() {
            let response = self.responses.message().await?.unwrap();
            self.heard.extend(response.events.into_iter().filter_map(|event| event.event));
        }
        Ok(self.heard.pop_front().unwrap())
    }

    /// The status that the call ends with.
    async fn end(mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
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
    command::Command::Send(Send { stream: 1, first, messages, acknowledge })
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
async fn what_is_wrong_with_a_command_is_said() {
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
        let call = Call::registered(&kit, vec![]).await;
        call.requests.send(request(command)).await.unwrap();
        let status = call.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{problem}");
        assert!(status.message().starts_with(problem), "{}", status.message());
        let waiting = tokio::spawn(async move { client.recv().await });
        let panic = waiting.await.unwrap_err().into_panic();
        let said = panic.downcast_ref::<String>().unwrap();
        assert!(said.starts_with(&format!("the app broke the contract: {problem}")), "{said}");
    }
}

#[tokio::test]
async fn a_call_begins_with_a_good_registration() {
    for (first, problem) in [
        (acknowledge(1, 0), "register: must be the first command"),
        (
            command::Command::Register(register("Default", "a")),
            "register.service: a service name is",
        ),
        (command::Command::Register(register("default", "")), "register.instance_id: must be"),
    ] {
        let (kit, _client) = kit().await;
        let Err(status) = Call::begin(&kit.core, first).await else { panic!("{problem}") };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(problem), "{}", status.message());
    }
}

#[tokio::test]
async fn sends_are_taken_once_in_order_and_all_or_none() {
    let (kit, client) = kit().await;
    let mut call = Call::registered(&kit, vec![]).await;
    while !matches!(call.hear().await.unwrap(), event::Event::PartitionOwned(_)) {}
    for (command, next_send, refused) in [
        (send(0, &["x", "y"], Some(0)), 2, None),
        (send(0, &["x", "y"], None), 2, None),
        (send(3, &["z"], None), 2, Some(SendRefusedReason::OutOfOrder)),
        (send(2, &["z", "z"], Some(1)), 2, Some(SendRefusedReason::ResourceExhausted)),
        (send(1, &["y", "z"], Some(1)), 3, None),
    ] {
        call.say(command).await;
        let answer = call.hear().await.unwrap();
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
async fn acknowledgements_of_what_was_not_delivered_on_the_call_have_no_effect() {
    let kit = Kit::new();
    let client = kit.connect(Client::new());
    client.send("a").await;
    client.send("b").await;
    let window = Register { stream_window_bytes: 1, ..register("default", "a") };
    let mut call = Call::begin(&kit.core, command::Command::Register(window)).await.unwrap();
    while !matches!(call.hear().await.unwrap(), event::Event::PartitionOwned(_)) {}
    call.say(acknowledge(1, 2)).await;
    call.say(send(0, &["x"], Some(2))).await;
    call.say(send(0, &["y"], Some(1))).await;
    assert_eq!(client.recv().await.unwrap(), "y");
    assert_eq!(client.unacknowledged(), 1);
}

#[tokio::test]
async fn streams_that_are_over_are_released_and_refused() {
    let (kit, client) = kit().await;
    let mut call = Call::registered(&kit, vec![]).await;
    client.reset("bye");
    while !matches!(call.hear().await.unwrap(), event::Event::Ended(ended) if ended.event == 2) {}
    call.say(acknowledge(1, 2)).await;
    client.acknowledged().await;
    let mut call = Call::registered(&kit, vec![1, 7]).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|event| !matches!(event, event::Event::PartitionOwned(_))) {
        heard.push(call.hear().await.unwrap());
    }
    let released = heard.iter().filter(|event| matches!(event, event::Event::Released(_)));
    assert_eq!((released.count(), heard.len()), (2, 4), "{heard:?}");
    call.say(send(0, &["x"], None)).await;
    let event::Event::SendRefused(refused) = call.hear().await.unwrap() else { panic!() };
    assert_eq!(refused.reason(), SendRefusedReason::Ended);
}

#[tokio::test]
async fn a_second_call_ends_the_first() {
    let (kit, _client) = kit().await;
    let first = Call::registered(&kit, vec![]).await;
    let _second = Call::registered(&kit, vec![]).await;
    assert_eq!(first.end().await.code(), Code::Aborted);
}

#[tokio::test]
async fn an_app_that_has_crashed_is_not_heard() {
    let (mut kit, client) = kit().await;
    let _service = kit.service("default");
    let before = kit.core.clone();
    let call = Call::registered(&kit, vec![]).await;
    kit.crash_app();
    // What is under way arrives no more.
    let _ = call.requests.send(request(Some(send(0, &["x"], Some(1))))).await;
    assert_eq!(call.end().await.code(), Code::Unavailable);
    let register = command::Command::Register(register("default", "a"));
    let Err(status) = Call::begin(&before, register).await else { panic!() };
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!((client.unacknowledged(), client.try_recv()), (1, None));
}

#[tokio::test]
async fn nothing_is_set_of_a_stream_that_is_over() {
    let (kit, client) = kit().await;
    let call = Call::registered(&kit, vec![]).await;
    let label = |label: &str| SetLabel { stream: 1, label: label.to_owned() };
    call.say(command::Command::SetLabel(label("ann"))).await;
    call.say(acknowledge(1, 1)).await;
    client.acknowledged().await;
    client.reset("bye");
    call.say(command::Command::SetLabel(label("bob"))).await;
    call.say(acknowledge(1, 2)).await;
    client.acknowledged().await;
    assert_eq!(client.label(), "ann");
}

#[tokio::test]
async fn a_stream_is_in_at_most_64_groups() {
    let (kit, client) = kit().await;
    let mut call = Call::registered(&kit, vec![]).await;
    while !matches!(call.hear().await.unwrap(), event::Event::PartitionOwned(_)) {}
    for group in (0..=64).chain([0]).map(|number| format!("g{number}")) {
        call.say(command::Command::JoinGroup(JoinGroup { stream: 1, group })).await;
    }
    let event::Event::GroupRefused(refused) = call.hear().await.unwrap() else { panic!() };
    assert_eq!((refused.stream, refused.group.as_str()), (1, "g64"));
    call.say(acknowledge(1, 1)).await;
    client.acknowledged().await;
    assert_eq!(client.groups().len(), 64);
}
