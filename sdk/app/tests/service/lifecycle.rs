//! Start, lost calls and stop of a service.

use std::time::Duration;

use minerva_app::{Event, Service, StartError};
use minerva_proto::app::{Released, Started, command, event};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Status;

use crate::fake_core::{FakeCore, started};
use crate::{service, stream};

#[tokio::test]
async fn start_registers_the_instance() {
    let mut core = FakeCore::start().await;
    let builder = Service::connect(format!("http://{}", core.address));
    let start = tokio::spawn(builder.name("chat").stream_window_bytes(7).start());
    let (_call, register) = core.registered().await;
    assert_eq!(register.service, "chat");
    assert_eq!(register.stream_window_bytes, 7);
    assert_eq!(register.held_streams, [0; 0]);
    assert!(register.instance_id.len() >= 16);
    start.await.unwrap().unwrap();
}

#[tokio::test]
async fn start_waits_for_a_core() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let start = tokio::spawn(Service::connect(address.to_string()).start());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!start.is_finished());
    let mut core = FakeCore::start_at(address).await;
    let (_call, _) = core.registered().await;
    start.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_instance_may_keep_its_id_over_restarts() {
    let mut core = FakeCore::start().await;
    for _restart in 0..2 {
        let service = Service::connect(&core.address).instance_id("pod-7").start();
        let start = tokio::spawn(service);
        let (_call, register) = core.registered().await;
        assert_eq!(register.instance_id, "pod-7");
        start.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn invalid_options_and_refusals_are_errors() {
    let error = Service::connect("nowhere at all").start().await.unwrap_err();
    assert!(matches!(error, StartError::Address { .. }), "{error}");
    let error = Service::connect("127.0.0.1:1").name("Big").start().await.unwrap_err();
    assert!(matches!(error, StartError::Name { .. }), "{error}");
    for id in [String::new(), "two words".to_owned(), "x".repeat(65)] {
        let service = Service::connect("127.0.0.1:1").instance_id(id);
        let error = service.start().await.unwrap_err();
        assert!(matches!(error, StartError::InstanceId { .. }), "{error}");
    }
    let mut core = FakeCore::start().await;
    let start = tokio::spawn(Service::connect(&core.address).start());
    let (call, _) = core.call().await;
    call.fail(Status::invalid_argument("register.service: no")).await;
    let error = start.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("register.service: no"), "{error}");
}

#[tokio::test]
async fn a_stream_survives_a_lost_call() {
    let (mut core, mut call, _service, mut stream) = stream().await;
    call.messages(1, 1, &["a", "b"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    stream.send("x").await.unwrap();
    stream.send("y").await.unwrap();
    assert_eq!(stream.recv().await.unwrap(), "b");
    assert_eq!(call.sent(0, 2).await, ["x", "y"]);
    drop(call);

    let (mut call, register) = core.registered().await;
    assert_eq!(register.held_streams, [1]);
    // The core has taken one message and has no acknowledgement.
    let send_state =
        started(1).send_state.map(|state| minerva_proto::app::SendState { next_send: 2, ..state });
    let again = Started { resumed: true, next_event: 0, next_send: 2, send_state, ..started(1) };
    call.send_event(event::Event::Started(again)).await;
    call.messages(1, 1, &["a", "b", "c"]).await;
    assert_eq!(stream.recv().await.unwrap(), "c");
    stream.send("z").await.unwrap();
    assert_eq!(call.sent(2, 1).await, ["z"]);
    assert!(stream.recv_acknowledges(&mut call).await);
}

/// Shows through an acknowledgement that the app has received the previous event.
trait Acknowledges {
    async fn recv_acknowledges(&mut self, call: &mut crate::Call) -> bool;
}

impl Acknowledges for minerva_app::AppStream {
    async fn recv_acknowledges(&mut self, call: &mut crate::Call) -> bool {
        call.messages(1, 4, &["d"]).await;
        let message = self.recv().await;
        call.acknowledged(3).await;
        message.unwrap() == "d"
    }
}

#[tokio::test]
async fn unconfirmed_messages_are_sent_again() {
    let (mut core, call, _service, stream) = stream().await;
    drop(call);
    for message in ["x", "y", "z"] {
        stream.send(message).await.unwrap();
    }
    let (mut call, _) = core.registered().await;
    let again = Started { resumed: true, next_send: 1, ..started(1) };
    let send_state =
        again.send_state.map(|state| minerva_proto::app::SendState { next_send: 1, ..state });
    call.send_event(event::Event::Started(Started { send_state, ..again })).await;
    assert_eq!(call.sent(1, 2).await, ["y", "z"]);
    stream.durable().await.unwrap();
}

#[tokio::test]
async fn the_instance_id_survives_a_lost_call() {
    let mut core = FakeCore::start().await;
    let start = tokio::spawn(Service::connect(&core.address).start());
    let (call, first) = core.registered().await;
    let _service = start.await.unwrap().unwrap();
    call.fail(Status::unavailable("restart")).await;
    let (_call, second) = core.registered().await;
    assert_eq!(first.instance_id, second.instance_id);
}

#[tokio::test]
async fn a_contract_violation_ends_the_call() {
    let (mut core, call, _service, mut stream) = stream().await;
    call.messages(1, 5, &["too early"]).await;
    let (call, register) = core.registered().await;
    assert_eq!(register.held_streams, [1]);
    call.start(1).await;
    call.messages(1, 1, &["a"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
}

#[tokio::test]
async fn an_acknowledged_end_is_not_delivered_again() {
    let (mut core, mut call, mut service, mut stream) = stream().await;
    call.end(1, 1).await;
    assert_eq!(stream.recv().await, None);
    drop(stream);
    call.acknowledged(1).await;
    drop(call);
    let (mut call, register) = core.registered().await;
    assert_eq!(register.held_streams, [1]);
    call.send_event(event::Event::Started(Started { resumed: true, ..started(1) })).await;
    call.end(1, 1).await;
    call.acknowledged(1).await;
    assert!(timeout(Duration::from_millis(50), service.accept()).await.is_err());
}

#[tokio::test]
async fn a_released_stream_has_not_ended() {
    let (_core, call, _service, mut stream) = stream().await;
    call.send_event(event::Event::Released(Released { stream: 1, ..Released::default() })).await;
    assert_eq!(stream.next_event().await, Some(Event::Released));
    assert_eq!(stream.next_event().await, None);
    assert_eq!(stream.ended(), None);
    assert!(stream.send("x").await.is_err());
}

#[tokio::test]
async fn a_stop_flushes_and_ends_no_stream() {
    let (_core, mut call, mut service, mut stream) = stream().await;
    call.start(2).await;
    let handle = service.handle();
    let handler = tokio::spawn(async move {
        while let Some(message) = stream.recv().await {
            stream.send(message).await.unwrap();
        }
        stream.send("last words").await.unwrap();
        stream.ended().cloned()
    });
    call.messages(1, 1, &["a"]).await;
    assert_eq!(call.sent(0, 1).await, ["a"]);
    let second = service.accept().await.unwrap();
    drop(second);
    call.finish().await;
    let stop = tokio::spawn(async move { handle.stop().await });
    assert_eq!(handler.await.unwrap(), None);
    assert_eq!(call.sent(1, 1).await, ["last words"]);
    let rest = call.closed().await;
    let is_end =
        |command: &_| matches!(command, command::Command::Reset(_) | command::Command::Finish(_));
    assert!(!rest.iter().any(is_end), "{rest:?}");
    drop(call);
    assert!(service.accept().await.is_none());
    timeout(Duration::from_secs(4), stop).await.unwrap().unwrap();
}

/// The end of the call detaches the stream, whose finish counts as unsent then.
#[tokio::test]
async fn a_stop_does_not_wait_for_the_client_of_a_finished_stream() {
    let (_core, mut call, service, stream) = stream().await;
    stream.send("last words").await.unwrap();
    drop(stream);
    assert_eq!(call.sent(0, 1).await, ["last words"]);
    let handle = service.handle();
    let stop = tokio::spawn(async move { handle.stop().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    call.confirm(1, 1).await;
    call.finish().await;
    call.closed().await;
    drop(call);
    timeout(Duration::from_secs(3), stop).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_has_a_deadline() {
    let (_core, _call, service, stream) = stream().await;
    stream.send("never confirmed").await.unwrap();
    timeout(Duration::from_secs(8), service.stop()).await.unwrap();
    assert!(stream.send("x").await.is_err());
}

#[tokio::test]
async fn dropping_the_service_ends_the_call() {
    let (_core, mut call, service) = service().await;
    drop(service);
    assert_eq!(call.closed().await, []);
}

#[tokio::test]
async fn the_handle_of_an_earlier_assignment_takes_no_event_of_the_next_one() {
    let (mut core, call, mut service, mut stream) = stream().await;
    call.messages(1, 1, &["a"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    drop(call);
    let (mut call, _) = core.registered().await;
    // Another instance had the stream up to event 4, and its next send is 3.
    call.resume(1, 2, 5, 3).await;
    call.messages(1, 5, &["e"]).await;
    let mut next = service.accept().await.unwrap();
    assert_eq!(stream.next_event().await, Some(Event::Released));
    assert!(stream.try_send("x").is_err(), "the number of this message belongs to another handle");
    stream.acknowledge(5);
    drop(stream);
    assert_eq!(next.first_event().0, 5);
    assert_eq!(next.recv().await.unwrap(), "e");
    next.send("y").await.unwrap();
    assert_eq!(call.sent(3, 1).await, ["y"]);
}

/// Program of the next test, on paused time.
#[tokio::test(start_paused = true)]
#[ignore = "runs in a process of its own, whose stderr is compared"]
async fn starts_without_a_core() {
    let start = Service::connect("127.0.0.1:1").name("chat").start();
    assert!(timeout(Duration::from_secs(8), start).await.is_err());
}

#[test]
fn a_start_that_waits_for_a_core_is_reported_on_stderr() {
    let arguments = ["--exact", "lifecycle::starts_without_a_core", "--ignored", "--nocapture"];
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line =
        "minerva: no core answers yet at 127.0.0.1:1, so the service `chat` waits: start Minerva";
    assert_eq!(stderr.matches(line).count(), 1, "{stderr}");
}
