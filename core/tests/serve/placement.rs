//! Several cores with one store: placement, hand-over, take-over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minerva_core::store::Store;
use minerva_core::store::memory::MemoryStore;
use minerva_core::{Config, PartitionOptions};
use minerva_proto::app::event;
use minerva_proto::link::pb::{Resume, core_frame, edge_frame};

use crate::peers::{App, Edge, Served, attach, batch, serve_with};

const ID: &str = "stream-id-stream-id-1";

/// Number of partitions of the deployment.
const COUNT: u32 = 16;

fn config(standby: bool) -> Config {
    let lease = Duration::from_millis(600);
    let partition = PartitionOptions { lease, standby, ..PartitionOptions::default() };
    Config { partitions: COUNT, partition, ..Config::default() }
}

async fn core(store: &Arc<MemoryStore>, standby: bool) -> Served {
    serve_with(&config(standby), Arc::clone(store) as Arc<dyn Store>).await
}

/// Follows the owned partitions of a core with an edge and an app instance.
struct Observer {
    edge: Edge,
    app: App,
    /// Owned partitions with their epochs.
    owned: BTreeMap<u32, u64>,
}

impl Observer {
    async fn of(core: &Served) -> Self {
        let edge = Edge::connect(core.link).await;
        let app = App::register(core.api, "one", vec![]).await;
        Self { edge, app, owned: BTreeMap::new() }
    }

    /// Waits until the core owns `count` partitions.
    async fn owns(&mut self, count: usize) {
        while self.owned.len() != count {
            self.next().await;
        }
    }

    async fn next(&mut self) {
        match self.edge.next().await {
            core_frame::Frame::Owned(owned) => {
                let claims = owned.claims.into_iter().map(|claim| (claim.partition, claim.epoch));
                self.owned.extend(claims);
            }
            core_frame::Frame::Released(released) => {
                released.partitions.iter().for_each(|partition| {
                    assert!(self.owned.remove(partition).is_some(), "{partition} was not owned");
                });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until two cores own all partitions, each at least one.
async fn balanced(one: &mut Observer, two: &mut Observer) {
    loop {
        let both = one.owned.keys().filter(|partition| two.owned.contains_key(partition)).count();
        let sum = one.owned.len() + two.owned.len();
        if both == 0 && sum == COUNT as usize && !one.owned.is_empty() && !two.owned.is_empty() {
            return;
        }
        tokio::select! {
            () = one.next() => {}
            () = two.next() => {}
        }
    }
}

#[tokio::test]
async fn a_new_core_gets_partitions_and_releases_them_at_its_stop() {
    let store = Arc::new(MemoryStore::new());
    let first = core(&store, false).await;
    let mut one = Observer::of(&first).await;
    one.owns(COUNT as usize).await;
    assert!(one.owned.values().all(|epoch| *epoch == 1));
    let second = core(&store, false).await;
    let mut two = Observer::of(&second).await;
    balanced(&mut one, &mut two).await;
    assert!(two.owned.values().all(|epoch| *epoch == 2), "{:?}", two.owned);
    second.core.stop().await;
    one.owns(COUNT as usize).await;
}

#[tokio::test]
async fn a_crashed_core_is_replaced_when_its_lease_expires() {
    let store = Arc::new(MemoryStore::new());
    let first = core(&store, false).await;
    let second = core(&store, false).await;
    let (mut one, mut two) = (Observer::of(&first).await, Observer::of(&second).await);
    balanced(&mut one, &mut two).await;
    drop(first);
    two.owns(COUNT as usize).await;
}

#[tokio::test]
async fn a_standby_core_owns_partitions_only_when_alone() {
    let store = Arc::new(MemoryStore::new());
    let standby = core(&store, true).await;
    let mut idle = Observer::of(&standby).await;
    idle.owns(COUNT as usize).await;
    let active = core(&store, false).await;
    let mut busy = Observer::of(&active).await;
    busy.owns(COUNT as usize).await;
    idle.owns(0).await;
    drop(active);
    idle.owns(COUNT as usize).await;
}

/// Waits for a resumed Started event.
async fn resumed(app: &mut App) -> minerva_proto::app::Started {
    let started = app.started().await;
    assert!(started.resumed);
    started
}

/// One stream, its edge and its instance, over a hand-over and a crash.
#[tokio::test]
async fn a_stream_moves_with_its_partition() {
    let store = Arc::new(MemoryStore::new());
    let first = core(&store, false).await;
    let mut one = Observer::of(&first).await;
    one.edge.attach(attach(1, ID)).await;
    one.edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["a", "b"])));
    one.edge.taken(0).await;
    let started = one.app.started().await;
    let (stream, partition) = (started.stream, (started.stream >> 48) as u32);
    assert_eq!((started.epoch, started.next_event), (1, 0));
    assert_eq!(one.app.messages(1, 2).await, ["a", "b"]);
    one.app.acknowledge(stream, 1);
    one.app.send_messages(stream, 0, &["x"]);
    one.app.sent(1).await;

    // A standby core takes over when the first core stops; the instance is registered at both.
    let second = core(&store, true).await;
    let mut two = Observer::of(&second).await;
    let stopping = first.core.stop();
    let left = one.app.until(|event| match event {
        event::Event::PartitionLeft(left) => (left.partition == partition).then_some(()),
        event::Event::Released(_) | event::Event::Ended(_) => panic!("{event:?}"),
        _ => None,
    });
    tokio::join!(stopping, left);
    let started = resumed(&mut two.app).await;
    assert_eq!((started.stream, started.epoch), (stream, 2));
    assert_eq!((started.next_event, started.next_send), (2, 1));
    assert_eq!(two.app.messages(2, 1).await, ["b"]);
    two.owns(COUNT as usize).await;
    let resume = Some(Resume { stream, next_s2c: Some(0), tag: None });
    let opened =
        two.edge.attach(minerva_proto::link::pb::Attach { create: false, resume, ..attach(7, ID) });
    assert!(!opened.await.created);
    assert_eq!(two.edge.messages(7, 0, 1).await, ["x"]);

    // A third core, after the crash of the second.
    let third = core(&store, true).await;
    let mut three = Observer::of(&third).await;
    drop(second);
    let started = resumed(&mut three.app).await;
    assert_eq!((started.stream, started.epoch, started.next_event), (stream, 3, 2));
}
