//! The SDK's group sends with slow members, and its requests while a core does not answer.

use std::time::Duration;

use minerva_app::{AppStream, Service, StreamNumber, Streams, StreamsError};
use minerva_proto::link::pb::edge_frame::Frame;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::peers::{Edge, Served, attach, serve};

/// Members of the group `all`: the first two have room for one message, the third for more.
async fn members(served: &Served) -> (Service, Edge, Vec<AppStream>) {
    let mut service = Service::connect(served.api.to_string()).start().await.unwrap();
    let edge = Edge::connect(served.link).await;
    let mut streams = Vec::new();
    for number in 1..=3 {
        edge.send(Frame::Attach(attach(number, &format!("stream-id-stream-id-{number}"))));
        let stream = service.accept().await.unwrap();
        if number < 3 {
            stream.set_outbox(1000, 1);
        }
        stream.join("all").await.unwrap();
        streams.push(stream);
    }
    (service, edge, streams)
}

fn sorted(mut numbers: Vec<StreamNumber>) -> Vec<StreamNumber> {
    numbers.sort_unstable();
    numbers
}

/// A port that accepts connections and never answers, as a suspended core does.
async fn silent_core() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    address
}

#[tokio::test]
async fn slow_members_are_reported_or_ended() {
    let served = serve().await;
    let (_service, _edge, members) = members(&served).await;
    let slow = sorted(vec![members[0].number(), members[1].number()]);
    let streams = Streams::at(served.api.to_string()).unwrap();
    let first = streams.send_to_group("default", "all", ["one"]).await.unwrap();
    assert_eq!((first.taken, first.full_count), (3, 0));
    let second = streams.send_to_group("default", "all", ["two"]).await.unwrap();
    assert_eq!((second.taken, second.full_count, second.full), (1, 2, slow.clone()));
    let group = streams.group("default", "all");
    let third = group.reset_slow("too far behind").send(["three"]).await.unwrap();
    assert_eq!((third.taken, third.full, third.reset), (1, slow.clone(), slow));
    let fourth = streams.send_to_group("default", "all", ["four"]).await.unwrap();
    assert_eq!((fourth.taken, fourth.full_count), (1, 0));
}

#[tokio::test]
async fn a_send_waits_for_slow_members() {
    let served = serve().await;
    let (_service, _edge, members) = members(&served).await;
    let streams = Streams::at(served.api.to_string()).unwrap();
    streams.send_to_group("default", "all", ["one"]).await.unwrap();
    let group = streams.group("default", "all").wait(Duration::from_secs(20));
    let waiting = tokio::spawn(group.send(["two"]));
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    members[0].set_outbox(1000, 10);
    members[1].set_outbox(1000, 10);
    let sent = waiting.await.unwrap().unwrap();
    assert_eq!((sent.taken, sent.full_count), (3, 0));
    for member in &members {
        let state = streams.get(member.number()).await.unwrap().remove(0);
        assert_eq!(state.outbox.messages, 2, "each member has each message once");
    }
    members[0].set_outbox(1000, 1);
    let group = streams.group("default", "all").wait(Duration::from_millis(200));
    let sent = group.send(["three"]).await.unwrap();
    assert_eq!((sent.taken, sent.full), (2, vec![members[0].number()]));
}

#[tokio::test]
async fn a_core_that_does_not_answer_delays_no_complete_request() {
    let served = serve().await;
    let (_service, _edge, members) = members(&served).await;
    let streams = Streams::at([served.api.to_string(), silent_core().await]).unwrap();
    let calls = async {
        let sent = streams.send_to_group("default", "all", ["one"]).await.unwrap();
        assert_eq!(sent.taken, 3);
        streams.send(members[2].number(), ["two"]).await.unwrap();
        streams.join(members[2].number(), "more").await.unwrap();
        streams.get(members[2].number()).await.unwrap();
    };
    timeout(Duration::from_secs(3), calls).await.expect("no call waits for the silent core");
}

#[tokio::test]
async fn an_unknown_outcome_has_the_key_of_its_repeat() {
    let streams = Streams::at(silent_core().await).unwrap().timeout(Duration::from_millis(300));
    let error = streams.send(StreamNumber(1), ["one"]).await.unwrap_err();
    assert!(matches!(&error, StreamsError::Unknown { key, .. } if !key.is_empty()), "{error}");
    let error = streams.get(StreamNumber(1)).await.unwrap_err();
    assert!(matches!(error, StreamsError::Unavailable(_)), "a request without effect: {error}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let streams = Streams::at(nobody.to_string()).unwrap().timeout(Duration::from_millis(300));
    let error = streams.send(StreamNumber(1), ["one"]).await.unwrap_err();
    assert!(matches!(error, StreamsError::Unavailable(_)), "not sent: {error}");

    let served = serve().await;
    let (_service, _edge, members) = members(&served).await;
    let streams = Streams::at(served.api.to_string()).unwrap();
    for _ in 0..2 {
        streams.send_once(members[2].number(), ["once"], "key").await.unwrap();
        streams.send_many_once([members[2].number()], ["once"], "key").await.unwrap();
    }
    let state = streams.get(members[2].number()).await.unwrap().remove(0);
    assert_eq!(state.outbox.messages, 1);
}
