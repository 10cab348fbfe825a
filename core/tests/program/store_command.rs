//! `minerva-core store` on a redb store, and a core with damaged state.

use std::path::Path;

use bytes::Bytes;
use minerva_core::store::{Epoch, StoreUrl, open};
use minerva_proto::link::pb::close;

use super::peers::{App, Edge, attach};
use super::{ID, Program, command, free_addresses, http};

/// Exit code, standard output and standard error.
fn store(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("redb:{}", directory.display());
    let output = command(&["store"]).args(arguments).args(["--store", &url]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Creates one stream of an instance and stops the core; returns the stream number.
async fn one_stream(directory: &Path) -> u64 {
    let mut program = Program::start(directory);
    let mut app = App::register(program.api, "one", vec![]).await;
    let mut edge = Edge::connect(program.link).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    program.signal("-TERM");
    assert!(program.child.wait().unwrap().success());
    stream
}

/// Appends an unreadable log entry.
async fn damage(directory: &Path, partition: u32) {
    let url: StoreUrl = format!("redb:{}", directory.display()).parse().unwrap();
    let store = open(&url).unwrap();
    let claimed = store.claim(partition, "damage", Epoch(0)).await.unwrap();
    let (epoch, index) = (claimed.epoch, claimed.next_index());
    store.append(partition, epoch.into(), index, Bytes::from_static(b"garbage")).await.unwrap();
    store.release(partition, epoch).await.unwrap();
}

#[tokio::test]
async fn damage_is_found_served_around_and_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stream = one_stream(path).await;
    let partition = (stream >> 48) as u32;
    let (code, table, stderr) = store(path, &["check"]);
    assert_eq!((code, table.lines().count()), (Some(0), 65), "{table}{stderr}");
    damage(path, partition).await;
    let (code, table, stderr) = store(path, &["check", "--partition", &partition.to_string()]);
    assert_eq!(code, Some(1), "{table}{stderr}");
    assert!(stderr.contains("damage found in 1 of 1 partitions"), "{stderr}");

    let mut program = Program::start_at(path, free_addresses());
    let mut app = App::register(program.api, "one", vec![stream]).await;
    assert_eq!(app.started().await.stream, stream);
    let mut edge = Edge::connect(program.link).await;
    let mut hello = attach(1, ID);
    hello.create = false;
    edge.send(minerva_proto::link::pb::edge_frame::Frame::Attach(hello));
    let Some(close::Cause::Reset(reset)) = edge.close().await.cause else { panic!("no reset") };
    assert_eq!(reset.reason, "state lost");
    let metrics = http(program.admin, "/metrics").await;
    assert!(metrics.contains("minerva_quarantined_streams_total 1"), "{metrics}");
    let (code, _, stderr) = store(path, &["check"]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("another process is using this directory"), "{stderr}");
    program.signal("-TERM");
    assert!(program.child.wait().unwrap().success());

    let (code, table, stderr) = store(path, &["check", "--partition", &partition.to_string()]);
    assert_eq!(code, Some(0), "{table}{stderr}");
    assert!(table.trim_end().ends_with(" 2"), "two blobs are kept aside: {table}");
    let (code, shown, _) = store(path, &["show", "--stream", &stream.to_string()]);
    assert!(code == Some(0) && shown.contains("state lost") && !shown.contains(ID), "{shown}");
}

#[tokio::test]
async fn a_partition_is_exported_and_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stream = one_stream(path).await;
    let partition = (stream >> 48).to_string();
    let out = path.join("export").display().to_string();
    let export = ["export", "--partition", &partition, "--out", &out];
    let (code, text, stderr) = store(path, &export);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("contain messages"), "{text}");
    let blob = format!("partition-{partition}-stream-{stream}");
    assert!(path.join("export").join(blob).exists());
    let (code, text, stderr) = store(path, &["quarantine", "--partition", &partition, "--all"]);
    assert_eq!(code, Some(0), "{text}{stderr}");
    let program = Program::start(path);
    let mut edge = Edge::connect(program.link).await;
    let mut hello = attach(1, ID);
    hello.create = false;
    edge.send(minerva_proto::link::pb::edge_frame::Frame::Attach(hello));
    let Some(close::Cause::Reset(reset)) = edge.close().await.cause else { panic!("no reset") };
    assert_eq!(reset.reason, "state lost");
}

#[test]
fn wrong_options_exit_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    for (path, arguments, text) in [
        (&*absent, &["check"][..], "no core has used this store"),
        (&absent, &["quarantine", "--partition", "1"], "--all"),
        (&absent, &["quarantine", "--partition", "1", "--all", "--stream", "1"], "cannot be used"),
        (&absent, &["show", "--stream", "1", "--hash", "x"], "cannot be used"),
        (&absent, &["export"], "--partition"),
    ] {
        let (code, _, stderr) = store(path, arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
    }
    assert!(!absent.exists(), "an inspection creates nothing");
    let empty = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &["show"], &["quarantine", "--partition", "0", "--all"]] {
        let (code, _, stderr) = store(empty.path(), arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {stderr}");
        assert!(stderr.contains("no core has used this store"), "{stderr}");
    }
    assert!(std::fs::read_dir(empty.path()).unwrap().next().is_none(), "no file is created");
    let (code, help, _) = store(&absent, &["--help"]);
    assert_eq!(code, Some(0));
    for command in ["check", "show", "export", "quarantine"] {
        assert!(help.contains(command), "{help}");
    }
}
