//! Credit over a real link, its loss, and the end of an edge.

#[path = "link/refusals.rs"]
mod refusals;
mod support;

use std::time::Duration;

use minerva_edge::Config;
use minerva_proto::link::pb::edge_frame::Frame as ToCore;
use support::{Rig, TIMEOUT, hello, texts};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_transport_survives_the_loss_of_the_link() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"new\":true,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    rig.core.messages(attach.transport, 0, &["x"]).await;
    client.expect(&["C", "0N", "x "]).await;
    client.frames(&["a "]).await;
    rig.core.batch().await;
    rig.core.hang_up();
    rig.core.greet().await;
    let again = rig.core.attach().await;
    assert_ne!(again.transport, attach.transport, "numbers are used once");
    assert_eq!(again.resume.unwrap().next_s2c, Some(1));
    assert!(!again.create && again.wants_messages && again.batch.is_none());
    let batch = rig.core.batch().await;
    assert_eq!((batch.number, texts(&batch)), (0, vec![(0, vec!["a".to_owned()])]));
    rig.core.opened(again.transport, false).await;
    rig.core.sack(again.transport, 0).await;
    rig.core.messages(again.transport, 1, &["y"]).await;
    client.expect(&["|0A", "y "]).await;
}

#[tokio::test]
async fn without_a_link_transports_are_held_and_then_unavailable() {
    let config = Config { hold_time: Duration::from_secs(1), ..Config::default() };
    let rig = Rig::unlinked(config).await;
    let mut poll = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let mut socket = rig.tcp(&[&hello("\"ming\":true")]).await;
    poll.is_quiet().await;
    let answer = poll.answer().await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    socket.is_closed().await;
}

#[tokio::test]
async fn a_hello_waits_for_the_link() {
    let mut rig = Rig::unlinked(Config::default()).await;
    let _client = rig.tcp(&[&hello("\"ming\":true"), "a "]).await;
    tokio::time::sleep(support::QUIET).await;
    rig.core.greet().await;
    assert_eq!(texts(&rig.core.attach().await.batch.unwrap()), [(0, vec!["a".to_owned()])]);
}

#[tokio::test]
async fn a_client_with_untaken_messages_is_not_read() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, false).await;
    let mut frame = 1025_u32.to_be_bytes().to_vec();
    frame.extend_from_slice(&[b'x'; 1024]);
    frame.push(b' ');
    let flood = frame.repeat(20 * 1024);
    let writing = tokio::spawn(async move {
        client.stream.write_all(&flood).await.unwrap();
        client
    });
    let (mut bytes, mut last) = (0, 0);
    while let Ok(frame) = tokio::time::timeout(support::QUIET, rig.core.next()).await {
        let ToCore::Batch(batch) = frame else { panic!("{frame:?}") };
        bytes += batch.runs.iter().flat_map(|run| &run.messages).map(|s| s.len()).sum::<usize>();
        last = batch.number;
    }
    assert!((200 << 10..=(256 << 10) + 1024).contains(&bytes), "{bytes}");
    assert!(!writing.is_finished(), "20 MB went into nowhere");
    // Another transport of the same link is not delayed.
    let other = rig.tcp(&[&hello("\"ming\":true"), "hi "]).await;
    assert!(rig.core.attach().await.batch.is_some());
    drop(other);
    rig.core.detach().await;
    while bytes < 20 << 20 {
        rig.core.taken(attach.transport, last).await;
        let batch = rig.core.batch().await;
        bytes += batch.runs.iter().flat_map(|run| &run.messages).map(|s| s.len()).sum::<usize>();
        last = batch.number;
    }
    tokio::time::timeout(TIMEOUT, writing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_reader_gets_no_credit_until_it_reads() {
    let mut rig = Rig::start().await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"eeds\":null")]).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, false).await;
    let message = "z".repeat(64 * 1024);
    let (mut credit, mut next) = (i64::try_from(attach.s2c_bytes).unwrap(), 0);
    // Sends up to the credit; kernel buffers take some megabytes.
    loop {
        while credit > 0 {
            rig.core.messages(attach.transport, next, &[&message]).await;
            next += 1;
            credit -= 64 * 1024;
        }
        let received = tokio::time::timeout(support::QUIET * 2, rig.core.next()).await;
        let Ok(frame) = received else { break };
        let ToCore::Grant(grant) = frame else { panic!("{frame:?} instead of Grant") };
        credit += i64::try_from(grant.s2c_bytes).unwrap();
        assert!(next < 2000, "credit without end");
    }
    client.expect(&["0N"]).await;
    for _ in 0..next {
        assert_eq!(client.frame().await.len(), message.len() + 1);
    }
    assert!(matches!(rig.core.next().await, ToCore::Grant(_)), "reading brings credit");
}

#[tokio::test]
async fn a_stop_asks_clients_to_move() {
    let config = Config { drain_time: Duration::from_secs(5), ..Config::default() };
    let mut rig = Rig::with(config).await;
    let mut client = rig.tcp(&[&hello("\"ming\":true")]).await;
    let socket = rig.core.attach().await.transport;
    rig.core.opened(socket, false).await;
    let mut poll = rig.post(&[&hello("\"ming\":false,\"eeds\":null")]).await;
    let held = rig.core.attach().await.transport;
    rig.core.opened(held, false).await;
    rig.stop();
    for _ in 0..2 {
        let batch = rig.core.batch().await;
        assert_eq!(batch.end, Some(minerva_proto::link::pb::End { kill: None }));
        rig.core.close(batch.transport, -1).await;
        rig.core.detach().await;
    }
    client.expect(&["|-1A", "|-1T", "Y"]).await;
    assert_eq!(poll.answer().await.body, ";)]}^\n|-1A\n|-1T\n");
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err(), "still accepting");
    drop((client, poll));
    tokio::time::timeout(TIMEOUT, rig.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_is_over_in_time() {
    let config = Config { drain_time: Duration::from_millis(300), ..Config::default() };
    let mut rig = Rig::with(config).await;
    let mut client = rig.tcp(&[&hello("\"ming\":true")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, false).await;
    rig.stop();
    tokio::time::timeout(Duration::from_secs(3), &mut rig.running).await.unwrap().unwrap();
    client.is_closed().await;
}
