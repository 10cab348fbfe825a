//! Deferred SACK records: appended with the next record, after a delay, or at a graceful stop.

use minerva_proto::link::{Attach, Batch, CoreFrame, CoreMessage};
use minerva_proto::{LogIndex, MessageNumber, Sack, StreamNumber};

use super::harness::{Harness, TestSession, hello, messages, run_until_idle};
use super::store::TestStore;
use crate::partition::deferred_records::MAX_DEFERRAL_MS;
use crate::partition::{Mail, Recovered};
use crate::state::{Record, decode_entry};
use crate::store::{Epoch, Store as _};

/// A partition with a stream with three messages in the outbox.
async fn start(store: &TestStore) -> (Harness, TestSession) {
    let harness = Harness::start(store).await;
    harness.attach(hello(1, "stream1"));
    let app = harness.join(1, "one", &[]);
    run_until_idle().await;
    send(&harness, &app, 0, &["a", "b", "c"]);
    run_until_idle().await;
    (harness, app)
}

fn send(harness: &Harness, app: &TestSession, first: u64, messages: &[&'static str]) {
    let messages = messages.iter().map(|&message| message.into()).collect();
    let session = app.handle.id;
    harness.send(Mail::Send {
        session,
        stream: StreamNumber(1),
        first: MessageNumber(first),
        messages,
        acknowledge: None,
    });
}

/// A cumulative SACK up to `number`, in the batch with this number.
async fn sack(harness: &Harness, number: u64) {
    let sacks = vec![Sack::up_to(number)];
    harness.batch(1, Batch { sacks, ..messages(number, 0, Vec::new()) });
    run_until_idle().await;
}

/// The records of all appends.
fn stored(store: &TestStore) -> Vec<Vec<Record>> {
    let durable = store.durable.lock().unwrap();
    let entries = (0..).map(LogIndex).zip(durable.iter());
    let entries = entries.map(|(index, blob)| decode_entry(0, index, blob.clone()).unwrap());
    entries.map(|entry| entry.records.into_iter().map(|(_, record)| record).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sack_is_appended_with_the_next_record() {
    let store = TestStore::free();
    let (harness, app) = start(&store).await;
    let before = stored(&store).len();
    sack(&harness, 0).await;
    sack(&harness, 1).await;
    assert_eq!(stored(&store).len(), before);
    send(&harness, &app, 3, &["d"]);
    run_until_idle().await;
    let sent = Record::Sent { messages: vec!["d".into()] };
    let sacked = |number| Record::Sacked(Sack::up_to(number));
    assert_eq!(stored(&store)[before..], [vec![sacked(0), sacked(1), sent]]);
}

#[tokio::test(start_paused = true)]
async fn a_sack_is_appended_alone_after_the_delay() {
    let store = TestStore::free();
    let (harness, _app) = start(&store).await;
    let before = stored(&store).len();
    sack(&harness, 1).await;
    harness.wait(MAX_DEFERRAL_MS - 1).await;
    assert_eq!(stored(&store).len(), before);
    harness.wait(1).await;
    assert_eq!(stored(&store)[before..], [vec![Record::Sacked(Sack::up_to(1))]]);
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_appends_deferred_records() {
    let store = TestStore::free();
    let (harness, _app) = start(&store).await;
    sack(&harness, 1).await;
    harness.stop().await.unwrap();
    let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
    let recovered = Recovered::from_claimed(0, &claimed).unwrap();
    assert_eq!(recovered.streams[&StreamNumber(1)].outbox().base(), MessageNumber(2));
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_hello_repeats_a_lost_sack() {
    let store = TestStore::free();
    let (mut crashing, _app) = start(&store).await;
    sack(&crashing, 1).await;
    crashing.edge_outputs();
    crashing.task.abort();
    let mut harness = Harness::start(&store).await;
    let sack = Some(Sack::up_to(1));
    harness.attach(Attach { create: false, sack, ..hello(2, "stream1") });
    run_until_idle().await;
    let outputs = harness.edge_outputs();
    let first = |frame: &CoreFrame| match frame.message() {
        Some(CoreMessage::Messages(run)) => Some(run.first.0),
        _ => None,
    };
    let written: Vec<u64> = outputs.iter().filter_map(first).collect();
    assert_eq!(written, [2], "{outputs:?}");
}
