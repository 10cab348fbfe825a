//! A service with several cores: calls, moving streams and the stop.

use std::time::Duration;

use minerva_app::{Event, Service, StreamNumber};
use minerva_proto::app::{PartitionLeft, PartitionOwned, command, event};
use tokio::time::timeout;
use tonic::Status;

use crate::fake_core::{Call, FakeCore};

/// A service registered with two cores.
async fn two() -> ([FakeCore; 2], [Call; 2], Service) {
    let mut cores = [FakeCore::start().await, FakeCore::start().await];
    let addresses = format!("{},{}", cores[0].address, cores[1].address);
    let start = tokio::spawn(Service::connect(addresses).start());
    let (a, first) = cores[0].registered_as("a").await;
    let (b, second) = cores[1].registered_as("b").await;
    assert_eq!(first.instance_id, second.instance_id);
    (cores, [a, b], start.await.unwrap().unwrap())
}

/// Waits for a registered call and returns the held streams.
async fn called(core: &mut FakeCore, name: &str) -> (Call, Vec<u64>) {
    let (call, register) = core.registered_as(name).await;
    (call, register.held_streams)
}

fn left(partition: u32) -> event::Event {
    event::Event::PartitionLeft(PartitionLeft { partition })
}

fn owned(partition: u32, epoch: u64) -> event::Event {
    event::Event::PartitionOwned(PartitionOwned { partition, epoch, streams_made: u64::MAX })
}

#[tokio::test]
async fn starts_with_the_first_core_and_retries_the_others() {
    let mut core = FakeCore::start().await;
    let gone = FakeCore::unreachable().await;
    let start = tokio::spawn(Service::connect([gone.to_string(), core.address.clone()]).start());
    let (call, _) = core.registered_as("a").await;
    let mut service = start.await.unwrap().unwrap();
    call.start(1).await;
    let first = service.accept().await.unwrap();
    let mut late = FakeCore::start_at(gone).await;
    let (late, held) = called(&mut late, "b").await;
    assert!(held.is_empty());
    late.start(1 << 48 | 1).await;
    let second = service.accept().await.unwrap();
    assert_eq!((first.number(), second.number()), (StreamNumber(1), StreamNumber::new(1, 1)));
}

#[tokio::test]
async fn a_refusal_fails_the_start_before_the_first_registration_only() {
    let (mut refusing, other) = (FakeCore::start().await, FakeCore::start().await);
    let addresses = [&*refusing.address, &*other.address];
    let start = tokio::spawn(Service::connect(addresses).start());
    let (call, _) = refusing.call().await;
    call.fail(Status::invalid_argument("register.service: no")).await;
    let error = start.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("register.service: no"), "{error}");

    let mut cores = [FakeCore::start().await, FakeCore::start().await];
    let addresses = [&*cores[0].address, &*cores[1].address];
    let start = tokio::spawn(Service::connect(addresses).start());
    let (_registered, _) = cores[0].registered_as("a").await;
    let _service = start.await.unwrap().unwrap();
    let (call, _) = cores[1].call().await;
    call.fail(Status::invalid_argument("register.service: no")).await;
    called(&mut cores[1], "b").await;
}

#[tokio::test]
async fn a_stream_follows_its_partition() {
    let (_cores, [mut a, mut b], mut service) = two().await;
    a.resume(1, 4, 0, 0).await;
    let mut stream = service.accept().await.unwrap();
    a.messages(1, 1, &["a"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    stream.send("x").await.unwrap();
    assert_eq!(a.sent(0, 1).await, ["x"]);
    stream.durable().await.unwrap();

    a.send_event(left(0)).await;
    b.resume(1, 5, 1, 1).await;
    b.messages(1, 1, &["a", "b"]).await;
    assert_eq!(stream.recv().await.unwrap(), "b");
    stream.send("y").await.unwrap();
    assert_eq!(b.sent(1, 1).await, ["y"]);
    stream.durable().await.unwrap();
    b.end(1, 3).await;
    assert_eq!(stream.recv().await, None);
    b.acknowledged(2).await;
}

#[tokio::test]
async fn a_dead_core_loses_nothing() {
    let (mut cores, [mut a, mut b], mut service) = two().await;
    a.resume(1, 4, 0, 0).await;
    let mut stream = service.accept().await.unwrap();
    stream.send("x").await.unwrap();
    // The core has taken the message without a confirmation.
    while !matches!(a.command().await, command::Command::Send(_)) {}
    drop(a);
    let (a, held) = called(&mut cores[0], "a").await;
    assert_eq!(held, [1]);
    b.resume(1, 5, 0, 1).await;
    b.messages(1, 1, &["a"]).await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    stream.send("y").await.unwrap();
    assert_eq!(b.sent(1, 1).await, ["y"]);
    // Late events of the former owner are ignored.
    a.resume(1, 4, 0, 0).await;
    a.messages(1, 1, &["a", "never"]).await;
    b.messages(1, 2, &["b"]).await;
    assert_eq!(stream.recv().await.unwrap(), "b");
}

/// After a rollback the earlier owner keeps the partition under a lower epoch than that of the lost claim.
#[tokio::test]
async fn an_owner_with_a_lower_epoch_is_called_again_when_the_higher_claim_is_gone() {
    for is_lost in [false, true] {
        let (mut cores, [a, b], mut service) = two().await;
        a.resume(1, 4, 0, 0).await;
        let mut stream = service.accept().await.unwrap();
        b.resume(1, 5, 0, 0).await;
        b.messages(1, 1, &["a"]).await;
        assert_eq!(stream.recv().await.unwrap(), "a");
        a.resume(1, 4, 0, 0).await;
        a.send_event(owned(0, 4)).await;
        b.messages(1, 2, &["b"]).await;
        assert_eq!(stream.recv().await.unwrap(), "b");
        if is_lost {
            drop(b)
        } else {
            b.send_event(left(0)).await
        }
        let (again, held) = called(&mut cores[0], "a").await;
        assert_eq!(held, [1]);
        again.resume(1, 4, 1, 0).await;
        again.messages(1, 1, &["a", "b", "c"]).await;
        assert_eq!(stream.recv().await.unwrap(), "c");
    }
}

#[tokio::test]
async fn a_stream_unknown_to_the_new_owner_is_released() {
    let (_cores, [a, b], mut service) = two().await;
    a.resume(1, 4, 0, 0).await;
    let mut stream = service.accept().await.unwrap();
    a.send_event(left(0)).await;
    b.send_event(owned(0, 5)).await;
    assert_eq!(stream.next_event().await, Some(Event::Released));
}

#[tokio::test]
async fn two_addresses_of_one_core_get_one_call() {
    let mut ways = [FakeCore::start().await, FakeCore::start().await];
    let addresses = [&*ways[0].address, &*ways[1].address];
    let start = tokio::spawn(Service::connect(addresses).start());
    let (first, _) = ways[0].registered_as("same").await;
    let _service = start.await.unwrap().unwrap();
    // The second registration ends the first call, as in the contract.
    let (second, _) = ways[1].registered_as("same").await;
    first.fail(Status::aborted("another call of this instance")).await;
    ways[0].not_called().await;
    // After the loss of the second call one of both addresses is called again.
    drop(second);
    let [one, other] = &mut ways;
    tokio::select! {
        (_call, _) = one.registered_as("same") => {}
        (_call, _) = other.registered_as("same") => {}
    }
}

#[tokio::test]
async fn a_superseded_call_is_closed() {
    let mut ways = [FakeCore::start().await, FakeCore::start().await];
    let addresses = [&*ways[0].address, &*ways[1].address];
    let start = tokio::spawn(Service::connect(addresses).start());
    let (mut first, _) = ways[0].registered_as("same").await;
    let _service = start.await.unwrap().unwrap();
    let (_second, _) = ways[1].registered_as("same").await;
    first.wait_ended().await;
    ways[0].not_called().await;
}

#[tokio::test]
async fn two_socket_addresses_of_one_name_get_one_call() {
    let mut core = FakeCore::start().await;
    let port = core.address.rsplit(':').next().unwrap().to_owned();
    let start = tokio::spawn(Service::connect(format!("localhost:{port}")).start());
    // A core without an id is identified by the configured address.
    let (mut call, _) = core.registered_as("").await;
    let _service = start.await.unwrap().unwrap();
    core.not_called().await;
    call.expect_silence().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_confirmations_of_all_cores() {
    let (_cores, [mut a, mut b], mut service) = two().await;
    a.start(1).await;
    b.start(1 << 48 | 1).await;
    let streams = [service.accept().await.unwrap(), service.accept().await.unwrap()];
    for stream in &streams {
        stream.send("last words").await.unwrap();
    }
    let handle = service.handle();
    let stop = tokio::spawn(async move { handle.stop().await });
    assert!(service.accept().await.is_none());
    drop(streams);
    assert_eq!(a.sent(0, 1).await, ["last words"]);
    let command::Command::Send(sent) = b.command().await else { panic!() };
    assert_eq!((sent.stream, sent.messages.len()), (1 << 48 | 1, 1));
    // The drained call stays open for the other.
    a.expect_silence().await;
    b.confirm(1 << 48 | 1, 1).await;
    for call in [&mut a, &mut b] {
        let rest = call.closed().await;
        let reset = rest.iter().any(|command| matches!(command, command::Command::Reset(_)));
        assert!(!reset, "{rest:?}");
    }
    drop((a, b));
    timeout(Duration::from_secs(8), stop).await.unwrap().unwrap();
}
