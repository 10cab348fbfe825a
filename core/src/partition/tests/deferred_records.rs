//! What clients say that they have is stored with what follows, or a little later by itself, and never forgotten by
//! an owner that ends in order.

use minerva_proto::Sack;

use super::bench::{Bench, Session, hello, messages, settle};
use super::store::TestStore;
use crate::partition::deferred_records::MAX_DELAY_MS;
use crate::partition::{Mail, Recovered};
use crate::state::{Record, decode_entry};
use crate::store::{Epoch, Store as _};
use crate::stream::{Attach, Batch, EdgeOutput};

/// A partition with a stream whose outbox holds three strings.
async fn bench(store: &TestStore) -> (Bench, Session) {
    let bench = Bench::start(store).await;
    bench.attach(hello(1, "stream1"));
    let app = bench.join(1, "one", &[]);
    settle().await;
    send(&bench, &app, 0, &["a", "b", "c"]);
    settle().await;
    (bench, app)
}

fn send(bench: &Bench, app: &Session, first: u64, messages: &[&'static str]) {
    let messages = messages.iter().map(|&string| string.into()).collect();
    let session = app.handle.id;
    bench.send(Mail::Send { session, stream: 1, first, messages, acknowledge: None });
}

/// The client says that it has strings up to this one, in batch number `number`.
async fn sack(bench: &Bench, number: u64) {
    let sacks = vec![Sack::up_to(number)];
    bench.batch(Batch { sacks, ..messages(1, number, 0, Vec::new()) });
    settle().await;
}

/// The records of all appends.
fn stored(store: &TestStore) -> Vec<Vec<Record>> {
    let durable = store.durable.lock().unwrap();
    let entries = durable.iter().map(|blob| decode_entry(blob.clone()).unwrap());
    entries.map(|records| records.into_iter().map(|(_, record)| record).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sack_is_stored_with_what_follows() {
    let store = TestStore::free();
    let (bench, app) = bench(&store).await;
    let before = stored(&store).len();
    sack(&bench, 0).await;
    sack(&bench, 1).await;
    assert_eq!(stored(&store).len(), before);
    send(&bench, &app, 3, &["d"]);
    settle().await;
    let sent = Record::Sent { messages: vec!["d".into()] };
    let sacked = |number| Record::Sacked(Sack::up_to(number));
    assert_eq!(stored(&store)[before..], [vec![sacked(0), sacked(1), sent]]);
}

#[tokio::test(start_paused = true)]
async fn a_sack_is_stored_by_itself_when_nothing_follows() {
    let store = TestStore::free();
    let (bench, _app) = bench(&store).await;
    let before = stored(&store).len();
    sack(&bench, 1).await;
    bench.wait(MAX_DELAY_MS - 1).await;
    assert_eq!(stored(&store).len(), before);
    bench.wait(1).await;
    assert_eq!(stored(&store)[before..], [vec![Record::Sacked(Sack::up_to(1))]]);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_stores_what_waits() {
    let store = TestStore::free();
    let (bench, _app) = bench(&store).await;
    sack(&bench, 1).await;
    bench.stop().await.unwrap();
    let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
    let recovered = Recovered::from_claimed(&claimed).unwrap();
    assert_eq!(recovered.streams[&1].outbox().base(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_client_says_it_again() {
    let store = TestStore::free();
    let (mut dying, _app) = bench(&store).await;
    sack(&dying, 1).await;
    dying.edge_outputs();
    dying.task.abort();
    let mut bench = Bench::start(&store).await;
    let sack = Some(Sack::up_to(1));
    bench.attach(Attach { create: false, sack, ..hello(2, "stream1") });
    settle().await;
    let outputs = bench.edge_outputs();
    let is_rest = |output: &&EdgeOutput| matches!(output, EdgeOutput::Messages { first: 2, .. });
    let written = outputs.iter().filter(|o| matches!(o, EdgeOutput::Messages { .. })).count();
    assert_eq!((written, outputs.iter().filter(is_rest).count()), (1, 1), "{outputs:?}");
}
