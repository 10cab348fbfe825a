//! The SDK's `Streams` with two cores: a stream is reached at its owner, and once.

use std::sync::Arc;
use std::time::Duration;

use minerva_app::{
    Connection, GroupMember, Pause, SendOutcome, Service, Streams, StreamsError, Target,
};
use minerva_core::store::memory::MemoryStore;
use minerva_core::{Config, PartitionOptions};
use minerva_proto::link::pb::close;
use minerva_proto::link::pb::edge_frame::Frame;
use tokio::time::timeout;

use crate::peers::{Edge, Served, attach, sack, serve, serve_with};

async fn core(store: &Arc<MemoryStore>) -> Served {
    let partition =
        PartitionOptions { lease: Duration::from_millis(500), ..PartitionOptions::default() };
    let config = Config { partitions: 8, partition, ..Config::default() };
    serve_with(&config, store.clone()).await
}

/// Two cores, once each owns partitions.
async fn two(store: &Arc<MemoryStore>) -> [Served; 2] {
    let cores = [core(store).await, core(store).await];
    for core in &cores {
        let streams = Streams::at(core.api.to_string()).unwrap().timeout(Duration::ZERO);
        // A complete list means that this core owns all partitions.
        while streams.list("default", |_| {}).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    cores
}

fn both(cores: &[Served; 2]) -> Streams {
    Streams::at(cores.each_ref().map(|core| core.api.to_string())).unwrap()
}

#[tokio::test]
async fn streams_of_all_cores_are_reached() {
    let store = Arc::new(MemoryStore::new());
    let cores = two(&store).await;
    let streams = both(&cores);
    let addresses = cores.each_ref().map(|core| core.api.to_string());
    let mut service = Service::connect(addresses).start().await.unwrap();
    let mut edges = [Edge::connect(cores[0].link).await, Edge::connect(cores[1].link).await];
    let (mut held, mut transport) = (Vec::new(), 0);
    for number in 0..20 {
        let id = format!("stream-id-stream-id-{number:03}");
        let stream = loop {
            // The owner accepts the transport, the other core answers Moved; during a hand-over both do.
            transport += 1;
            for edge in &mut edges {
                edge.send(Frame::Attach(attach(transport, &id)));
            }
            let accepted = timeout(Duration::from_millis(500), service.accept()).await;
            if let Ok(stream) = accepted {
                break stream.unwrap();
            }
        };
        stream.set_label("ann").await.unwrap();
        stream.join("all").await.unwrap();
        // A join has an effect for the callers of all cores once it returns.
        let own = format!("group-{number}");
        stream.join(&own).await.unwrap();
        let sent = streams.send_to_group("default", own, ["welcome"]).await.unwrap();
        assert_eq!(sent.taken, 1);
        stream.send("hello").await.unwrap();
        stream.durable().await.unwrap();
        held.push(stream);
    }
    let mut numbers: Vec<_> = held.iter().map(|stream| stream.number()).collect();
    numbers.sort_unstable();
    let sent = streams.send_to_group("default", "all", ["news"]).await.unwrap();
    assert_eq!((sent.taken, sent.full_count), (20, 0));
    let sent = streams.send(Target::label("default", "ann"), ["news"]).await.unwrap();
    let got: Vec<_> = sent.iter().map(|result| result.stream).collect();
    assert_eq!(got, numbers);
    let sent = streams.send_many(numbers.clone(), ["news"]).await.unwrap();
    assert!(sent.iter().all(|result| result.outcome == SendOutcome::Taken) && sent.len() == 20);
    let one = streams.get(numbers[7]).await.unwrap().remove(0);
    assert_eq!((one.outbox.messages, one.label.as_deref()), (5, Some("ann")));
    assert!(!one.pauses.contains(&Pause::NoInstance), "{one:?}");
    let mut listed = Vec::new();
    streams.list("default", |page| listed.extend(page.iter().map(|s| s.stream))).await.unwrap();
    listed.sort_unstable();
    assert_eq!(listed, numbers);
    let mut members = Vec::new();
    streams.list_group("default", "all", |page| members.extend(page)).await.unwrap();
    members.sort_unstable_by_key(|member| member.stream);
    assert!(members.iter().map(|member| member.stream).eq(numbers.iter().copied()), "{members:?}");
    // The cores may still hand partitions over, and this edge does not attach again.
    let is_ann = |member: &GroupMember| {
        member.label.as_deref() == Some("ann")
            && matches!(member.connection, Connection::Attached | Connection::Unknown)
    };
    assert!(members.iter().all(is_ann), "{members:?}");
    assert_eq!(streams.reset(numbers[0], "bye").await.unwrap(), [numbers[0]]);
    let over = streams.send(numbers[0], ["late"]).await.unwrap_err();
    assert!(matches!(over, StreamsError::Ended | StreamsError::NotFound), "{over}");
    let nobody = streams.send((1 << 48) - 1, ["x"]).await.unwrap_err();
    assert_eq!(nobody, StreamsError::NotFound);
}

#[tokio::test]
async fn a_call_waits_for_the_next_owner() {
    let store = Arc::new(MemoryStore::new());
    let cores = two(&store).await;
    let streams = both(&cores);
    let [one, two] = cores;
    drop(one);
    let sent = streams.send_to_group("default", "nobody", ["x"]).await.unwrap();
    assert_eq!(sent.taken, 0, "the reply covers all partitions, after the take-over");
    drop(two);
    let gone = streams.timeout(Duration::from_millis(300));
    let error = gone.send_to_group("default", "nobody", ["x"]).await.unwrap_err();
    let is_expected = matches!(error, StreamsError::Unavailable(_) | StreamsError::Unknown { .. });
    assert!(is_expected, "{error}");
}

#[tokio::test]
async fn an_invalid_argument_names_the_field() {
    let store = Arc::new(MemoryStore::new());
    let core = core(&store).await;
    let streams = Streams::at(core.api.to_string()).unwrap();
    let wrong = streams.send(1, Vec::<&str>::new()).await.unwrap_err();
    assert!(
        matches!(&wrong, StreamsError::Invalid { field, .. } if field == "messages"),
        "{wrong}"
    );
    let wrong = streams.reset(1, "\t").await.unwrap_err();
    assert!(matches!(&wrong, StreamsError::Invalid { field, .. } if field == "reason"), "{wrong}");
    assert!(Streams::at("not an address").is_err());
}

#[tokio::test]
async fn a_handler_that_returns_loses_no_message() {
    let served = serve().await;
    let service = Service::connect(served.api.to_string()).start().await.unwrap();
    tokio::spawn(service.run(|stream| async move {
        for number in 0..300 {
            stream.send(format!("message {number}")).await?;
        }
        stream.send("goodbye").await
    }));
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, "stream-id-stream-id-1")).await;
    assert_eq!(edge.messages(1, 0, 301).await[300], "goodbye");
    edge.send(Frame::Batch(sack(1, 0, 300)));
    let Some(close::Cause::Reset(reset)) = edge.close().await.cause else { panic!("no reset") };
    assert_eq!((reset.reason.as_str(), reset.application_level), ("finished", true));
}
