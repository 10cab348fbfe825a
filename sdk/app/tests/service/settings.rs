//! Label and groups: a change returns once the core has confirmed it.

use std::time::Duration;

use minerva_app::{GroupError, LabelError};
use minerva_proto::app::{GroupRefused, Synced, command, event};
use tokio::time::timeout;

use crate::fake_core::{Call, FakeCore};
use crate::stream;

/// The next change of the group or the label and the token of the Sync behind it. Skips acknowledgements.
async fn change_and_token(call: &mut Call) -> (String, u64) {
    let mut change = None;
    loop {
        match call.command().await {
            command::Command::JoinGroup(join) => change = Some(format!("+{}", join.group)),
            command::Command::LeaveGroup(leave) => change = Some(format!("-{}", leave.group)),
            command::Command::SetLabel(set) => change = Some(set.label),
            command::Command::Sync(sync) => return (change.expect("a change"), sync.token),
            command::Command::Acknowledge(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn synced(call: &Call, token: u64) {
    call.send_event(event::Event::Synced(Synced { stream: 1, token })).await;
}

#[tokio::test]
async fn a_change_returns_once_the_core_has_confirmed_it() {
    let (_core, mut call, _service, stream) = stream().await;
    let join = stream.join("room");
    tokio::pin!(join);
    assert!(timeout(Duration::from_millis(20), &mut join).await.is_err(), "not confirmed");
    let (change, token) = change_and_token(&mut call).await;
    assert_eq!(change, "+room");
    call.confirm(1, 0).await;
    assert!(timeout(Duration::from_millis(20), &mut join).await.is_err(), "only sends confirmed");
    synced(&call, token).await;
    assert_eq!(join.await, Ok(()));

    let sender = stream.sender();
    let leave = tokio::spawn(async move { sender.leave("room").await });
    let (change, token) = change_and_token(&mut call).await;
    synced(&call, token).await;
    assert_eq!((change.as_str(), leave.await.unwrap()), ("-room", Ok(())));

    let sender = stream.sender();
    let label = tokio::spawn(async move { sender.set_label("ann").await });
    let (change, token) = change_and_token(&mut call).await;
    synced(&call, token).await;
    assert_eq!((change.as_str(), label.await.unwrap()), ("ann", Ok(())));
}

#[tokio::test]
async fn a_refused_group_and_the_end_are_errors() {
    let (_core, mut call, _service, stream) = stream().await;
    let sender = stream.sender();
    let join = tokio::spawn(async move { sender.join("more").await });
    let (_, token) = change_and_token(&mut call).await;
    let refused = GroupRefused { stream: 1, group: "more".to_owned() };
    call.send_event(event::Event::GroupRefused(refused)).await;
    synced(&call, token).await;
    assert_eq!(join.await.unwrap(), Err(GroupError::TooMany));

    let sender = stream.sender();
    let label = tokio::spawn(async move { sender.set_label("ann").await });
    change_and_token(&mut call).await;
    call.end(1, 1).await;
    assert_eq!(label.await.unwrap(), Err(LabelError::Over));
    assert_eq!(stream.join("room").await, Err(GroupError::Over));
}

#[tokio::test]
async fn an_unconfirmed_change_is_repeated_on_the_next_call() {
    let (mut core, mut call, _service, stream): (FakeCore, _, _, _) = stream().await;
    let sender = stream.sender();
    let join = tokio::spawn(async move { sender.join("room").await });
    change_and_token(&mut call).await;
    drop(call);
    let (mut call, _) = core.registered().await;
    call.resume(1, 1, 0, 0).await;
    let (change, token) = change_and_token(&mut call).await;
    assert_eq!(change, "+room");
    synced(&call, token).await;
    assert_eq!(join.await.unwrap(), Ok(()));
}
