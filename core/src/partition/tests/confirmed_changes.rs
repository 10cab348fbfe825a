//! The confirmation of label and group changes of an instance.

use minerva_proto::StreamNumber;

use super::harness::{Harness, hello, run_until_idle};
use super::store::TestStore;
use crate::partition::{AttributeChange, Mail, SessionId};
use crate::stream::AppOutput;

fn change(session: u64, change: AttributeChange) -> Mail {
    Mail::ChangeAttributes { session: SessionId(session), stream: StreamNumber(1), change }
}

fn synced(token: u64) -> AppOutput {
    AppOutput::Synced { stream: StreamNumber(1), token }
}

#[tokio::test]
async fn a_change_is_confirmed_once_it_is_durable() {
    let store = TestStore::held();
    let harness = Harness::start(&store).await;
    let mut session = harness.join(5, "instance", &[]);
    harness.attach(hello(1, "one"));
    run_until_idle().await;
    store.permits.add_permits(1);
    run_until_idle().await;
    let is_started = |output: &AppOutput| matches!(output, AppOutput::Started(_));
    assert!(session.outputs().iter().any(is_started));

    harness.send(change(5, AttributeChange::Join("room".into())));
    harness.send(change(5, AttributeChange::Confirm(7)));
    run_until_idle().await;
    // The second confirmation has no record of its own, and waits for that of the join.
    harness.send(change(5, AttributeChange::Confirm(8)));
    run_until_idle().await;
    assert_eq!(session.outputs(), []);
    store.permits.add_permits(1);
    run_until_idle().await;
    assert_eq!(session.outputs(), [synced(7), synced(8)]);

    // No answer to another instance, which repeats the request after Started.
    harness.send(change(6, AttributeChange::Confirm(9)));
    run_until_idle().await;
    assert_eq!(session.outputs(), []);
}
