//! A core scripted by the test, over real gRPC.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::app::app_service_server::AppServiceServer;
use minerva_proto::app::{
    Command, Ended, EndedBy, Event, Messages, Register, Registered, SendState, ServeRequest,
    ServeResponse, Started, command, event,
};
use minerva_proto::{Feature, Features};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use crate::raw_server::{self, RawCall};

/// Deadline of expected calls and commands.
const DEADLINE: Duration = Duration::from_secs(10);
/// Wait for calls and commands that must not arrive.
const SILENCE: Duration = Duration::from_millis(100);

/// Passes each call to the test.
pub(crate) struct FakeCore {
    pub(crate) address: String,
    calls: mpsc::Receiver<RawCall>,
}

/// The core's side of one Serve call.
pub(crate) struct Call {
    raw: RawCall,
    commands: std::collections::VecDeque<command::Command>,
}

impl FakeCore {
    pub(crate) async fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::start_on(TcpListener::bind(address).await.unwrap())
    }

    /// An address without a core.
    pub(crate) async fn unreachable() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    fn start_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let calls = raw_server::serve::<AppServiceServer<()>>(listener);
        Self { address, calls }
    }

    /// Asserts that no call arrives.
    pub(crate) async fn not_called(&mut self) {
        assert!(timeout(SILENCE, self.calls.recv()).await.is_err());
    }

    /// Accepts the next call and registration, without an answer.
    pub(crate) async fn call(&mut self) -> (Call, Register) {
        let raw = timeout(DEADLINE, self.calls.recv()).await.unwrap().unwrap();
        let mut call = Call { raw, commands: Default::default() };
        let command::Command::Register(register) = call.command().await else { panic!() };
        (call, register)
    }

    /// Accepts the next call and answers the registration.
    pub(crate) async fn registered(&mut self) -> (Call, Register) {
        self.registered_as("").await
    }

    /// Like [`Self::registered`], with this core id.
    pub(crate) async fn registered_as(&mut self, core_id: &str) -> (Call, Register) {
        let (call, register) = self.call().await;
        // This core reads and writes messages without kinds.
        let mut features = Features::APP.names();
        features.retain(|name| name != Feature::MessageKinds.name());
        call.send_event(event::Event::Registered(Registered {
            core_id: core_id.to_owned(),
            outbox_bytes: 1 << 20,
            outbox_messages: 1000,
            max_message_bytes: 1 << 20,
            features,
            ..Registered::default()
        }))
        .await;
        (call, register)
    }
}

impl Call {
    pub(crate) async fn send_event(&self, event: event::Event) {
        let events = vec![Event { event: Some(event) }];
        self.send_raw(ServeResponse { events }.encode_to_vec().into()).await;
    }

    /// Sends an encoded response.
    pub(crate) async fn send_raw(&self, response: Bytes) {
        self.raw.responses.send(Ok(response)).await.unwrap();
    }

    /// The next request of the instance; `None` after the end of the call.
    async fn request(&mut self) -> Result<Option<ServeRequest>, Status> {
        let request = self.raw.requests.message().await?;
        Ok(request.map(|request| ServeRequest::decode(request).unwrap()))
    }

    pub(crate) async fn fail(self, status: Status) {
        self.raw.responses.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn start(&self, stream: u64) {
        self.send_event(event::Event::Started(started(stream))).await;
    }

    /// Starts a stream, for the first time or again, under this epoch. The core has confirmed sends below
    /// `next_send` and has acknowledgements below `next_event`.
    pub(crate) async fn resume(&self, stream: u64, epoch: u64, next_event: u64, next_send: u64) {
        let resumed = next_event > 0 || next_send > 0;
        let new = started(stream);
        let send_state = new.send_state.map(|state| SendState { next_send, ..state });
        let started = Started { resumed, epoch, next_event, next_send, send_state, ..new };
        self.send_event(event::Event::Started(started)).await;
    }

    pub(crate) async fn messages(&self, stream: u64, first_event: u64, messages: &[&'static str]) {
        let messages = messages.iter().map(|s| Bytes::from_static(s.as_bytes())).collect();
        self.send_event(event::Event::Messages(Messages {
            stream,
            first_event,
            messages,
            ..Messages::default()
        }))
        .await;
    }

    pub(crate) async fn end(&self, stream: u64, event: u64) {
        let (reason, by) = ("bye".to_owned(), EndedBy::Client.into());
        let ended = Ended { stream, event, reason, application_level: true, by };
        self.send_event(event::Event::Ended(ended)).await;
    }

    /// Confirms all messages below `next_send`.
    pub(crate) async fn confirm(&self, stream: u64, next_send: u64) {
        let (bytes_left, messages_left) = (1000, 100);
        let state =
            SendState { stream, next_send, bytes_left, messages_left, ..SendState::default() };
        self.send_event(event::Event::SendState(state)).await;
    }

    pub(crate) async fn send_state(&self, next_send: u64, messages_left: u32, paused: bool) {
        let state =
            SendState { stream: 1, next_send, bytes_left: 1000, messages_left, paused, tag: 0 };
        self.send_event(event::Event::SendState(state)).await;
    }

    pub(crate) async fn command(&mut self) -> command::Command {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return command;
            }
            let request = timeout(DEADLINE, self.request()).await.expect("a command");
            let commands = request.unwrap().expect("the call goes on").commands;
            self.commands.extend(commands.into_iter().filter_map(|Command { command }| command));
        }
    }

    /// Receives `count` messages for the stream and confirms them. Skips acknowledgements.
    pub(crate) async fn sent(&mut self, first: u64, count: usize) -> Vec<Bytes> {
        let mut sent = Vec::new();
        while sent.len() < count {
            match self.command().await {
                command::Command::Send(send) => {
                    assert_eq!(send.first, first + sent.len() as u64);
                    sent.extend(send.messages);
                }
                command::Command::Acknowledge(_) => {}
                other => panic!("{other:?}"),
            }
        }
        self.send_state(first + count as u64, 100, false).await;
        sent
    }

    /// Waits for a reset. Skips other commands.
    pub(crate) async fn reset(&mut self) -> (String, bool) {
        loop {
            if let command::Command::Reset(reset) = self.command().await {
                return (reset.reason, reset.application_level);
            }
        }
    }

    pub(crate) async fn finish(&mut self) -> String {
        loop {
            if let command::Command::Finish(finish) = self.command().await {
                return finish.reason;
            }
        }
    }

    /// Waits for the acknowledgement of `event`. Skips other commands.
    pub(crate) async fn acknowledged(&mut self, event: u64) {
        loop {
            let acknowledged = match self.command().await {
                command::Command::Acknowledge(acknowledge) => Some(acknowledge.event),
                command::Command::Send(send) => send.acknowledge,
                _ => None,
            };
            assert!(acknowledged.is_none_or(|acknowledged| acknowledged <= event));
            if acknowledged == Some(event) {
                return;
            }
        }
    }

    /// Asserts that no command arrives.
    pub(crate) async fn expect_silence(&mut self) {
        assert_eq!(self.commands, []);
        assert!(timeout(SILENCE, self.request()).await.is_err());
    }

    /// Waits for the end of the call, orderly or not.
    pub(crate) async fn wait_ended(&mut self) {
        while let Ok(Some(_)) = timeout(DEADLINE, self.request()).await.expect("an end") {}
    }

    /// Waits for the orderly end of the call and returns the last commands.
    pub(crate) async fn closed(&mut self) -> Vec<command::Command> {
        let mut commands: Vec<_> = self.commands.drain(..).collect();
        while let Some(request) = timeout(DEADLINE, self.request()).await.expect("an end").unwrap()
        {
            commands.extend(request.commands.into_iter().filter_map(|command| command.command));
        }
        commands
    }
}

/// A new stream with send credit.
pub(crate) fn started(stream: u64) -> Started {
    Started {
        stream,
        // Without the partition, because ids are short.
        stream_id: format!("secret-secret-secret-{}", stream & 0xFFFF_FFFF),
        credentials: "token".to_owned(),
        peer_address: "192.0.2.1".to_owned(),
        send_state: Some(SendState {
            stream,
            next_send: 0,
            bytes_left: 100_000,
            messages_left: 100,
            ..SendState::default()
        }),
        ..Started::default()
    }
}
