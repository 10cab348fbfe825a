//! Edges of other releases: greetings at stores with and without a key of the partition hash.

use minerva_proto::link::pb::{EdgeHello, core_frame, edge_frame};
use tonic::Code;

use crate::peers::{Edge, attach, batch, serve};

const ID: &str = "an-edge-of-some-release";

#[tokio::test]
async fn an_edge_of_release_0_1_is_served_at_an_unkeyed_store() {
    let served = serve().await;
    // `connect` greets as release 0.1 does.
    let mut edge = Edge::connect(served.link).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["x"])));
    edge.taken(0).await;
}

#[tokio::test]
async fn both_sides_list_features_and_versions() {
    let served = serve().await;
    let mut edge = Edge::silent(served.link).await;
    edge.send(edge_frame::Frame::Hello(EdgeHello {
        version: 1,
        edge_id: "edge-1".to_owned(),
        max_version: 9,
        features: vec!["from-the-future".to_owned()],
    }));
    let core_frame::Frame::Hello(hello) = edge.next().await else { panic!("no greeting") };
    assert_eq!((hello.version, hello.max_version), (1, 1));
    assert_eq!(hello.features, ["keyed-partitions"]);
    assert!(hello.partition_key.is_empty());
    edge.attach(attach(1, ID)).await;
}

#[tokio::test]
async fn an_edge_without_a_common_version_is_refused() {
    let served = serve().await;
    for (version, max_version) in [(0, 0), (2, 0), (2, 9)] {
        let mut edge = Edge::silent(served.link).await;
        let hello = EdgeHello { version, max_version, ..EdgeHello::default() };
        edge.send(edge_frame::Frame::Hello(hello));
        let status = edge.end().await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().starts_with("hello.version: "), "{status}");
    }
}
