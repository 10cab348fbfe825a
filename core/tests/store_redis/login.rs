//! Authentication and TLS.

#[path = "../support/certificate.rs"]
mod certificate;

use std::sync::Arc;

use certificate::make_certificate;
use minerva_core::store::{Epoch, Store, StoreError};
use minerva_proto::LogIndex;

use crate::server::{Server, free_port, store};
use crate::{append, assert_log, assert_unavailable, claim, content};

/// Minimal ACL of a user for the store.
const RIGHTS: [&str; 12] = [
    "resetkeys",
    "~app:*",
    "resetchannels",
    "-@all",
    "+@read",
    "+@write",
    "+evalsha",
    "+script|load",
    "+info",
    "+wait",
    "+time",
    "+select",
];

async fn assert_rejected(url: &str) {
    let result = store(url).partitions(4).await;
    let Err(StoreError::Config(text)) = result else { panic!("{result:?}") };
    assert!(text.contains("user and password in --store"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn minimal_permissions_suffice_and_a_wrong_login_is_rejected() {
    let server = Server::start(&[]);
    let mut command = vec!["ACL", "SETUSER", "core", "on", ">canary"];
    command.extend(RIGHTS);
    server.command(&command);
    let url = |login: &str, prefix: &str| {
        format!("redis://{login}@127.0.0.1:{}/?prefix={prefix}", server.port)
    };
    let handle = store(&url("core:canary", "app:"));
    assert_eq!(handle.partitions(4).await.map(|layout| layout.count), Ok(4));
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..10).await;
    assert_log(1, &claim(&*handle, 1, "me").await.1, 10);
    assert_rejected(&url("core:wrong-canary", "app:")).await;
    assert_rejected(&url("core:canary", "theirs:")).await;
    server.command(&["ACL", "SETUSER", "default", "off"]);
    assert_rejected(&format!("redis://127.0.0.1:{}", server.port)).await;
}

/// A server with a restricted user, and a store handle that has worked once.
async fn restricted() -> (Server, Arc<dyn Store>, Epoch) {
    let server = Server::start(&[]);
    let mut command = vec!["ACL", "SETUSER", "core", "on", ">canary"];
    command.extend(RIGHTS);
    server.command(&command);
    let handle = store(&format!("redis://core:canary@127.0.0.1:{}/?prefix=app:", server.port));
    let (epoch, _) = claim(&*handle, 1, "me").await;
    (server, handle, epoch)
}

#[tokio::test]
async fn a_changed_password_is_reported_with_its_reason_and_recovers() {
    let (server, handle, epoch) = restricted().await;
    server.command(&["ACL", "SETUSER", "core", "resetpass", ">other"]);
    server.command(&["CLIENT", "KILL", "USER", "core"]);
    for _ in 0..3 {
        let result = handle.append(1, epoch.into(), LogIndex(0), content(1, 0)).await;
        let Err(StoreError::Unavailable(text)) = result else { panic!("{result:?}") };
        if text.contains("refuses access") {
            assert!(text.contains("(WRONGPASS invalid username-password pair"), "{text}");
            assert!(text.contains(&format!("127.0.0.1:{}", server.port)), "{text}");
            break;
        }
    }
    let result = handle.append(1, epoch.into(), LogIndex(0), content(1, 0)).await;
    assert_unavailable(result, "WRONGPASS");
    server.command(&["ACL", "SETUSER", "core", ">canary"]);
    append(&*handle, 1, epoch, 0..10).await;
}

#[tokio::test]
async fn a_lost_permission_is_reported_to_all_waiting_requests_and_recovers() {
    let (server, handle, epoch) = restricted().await;
    append(&*handle, 1, epoch, 0..2).await;
    server.command(&["ACL", "SETUSER", "core", "-evalsha"]);
    let calls =
        (2..200).map(|index| handle.append(1, epoch.into(), LogIndex(index), content(1, index)));
    for result in futures_util::future::join_all(calls).await {
        assert_unavailable(result, "NOPERM");
    }
    server.command(&["ACL", "SETUSER", "core", "+evalsha"]);
    append(&*handle, 1, epoch, 2..10).await;
    assert_log(1, &claim(&*handle, 1, "me").await.1, 10);
}

#[tokio::test]
async fn a_missing_right_to_confirm_is_reported() {
    let (server, _, _) = restricted().await;
    let url = |query| format!("redis://core:canary@127.0.0.1:{}/?prefix=app:{query}", server.port);
    for command in ["wait", "info"] {
        server.command(&["ACL", "SETUSER", "core", &format!("-{command}")]);
        let result = store(&url("&wait=1")).partitions(4).await;
        let Err(StoreError::Config(text)) = result else { panic!("{result:?}") };
        assert!(text.contains("NOPERM") && text.contains(&format!("'{command}'")), "{text}");
        server.command(&["ACL", "SETUSER", "core", &format!("+{command}")]);
    }
}

#[tokio::test]
async fn a_password_without_a_user_belongs_to_the_default_user() {
    let server = Server::start(&["--requirepass", "can@ry"]);
    let at = format!("127.0.0.1:{}", server.port);
    assert_eq!(
        store(&format!("redis://:can%40ry@{at}")).partitions(4).await.map(|layout| layout.count),
        Ok(4)
    );
    assert_rejected(&format!("redis://{at}")).await;
}

/// A server without room for another client rejects the login, too.
#[tokio::test]
async fn a_full_table_of_clients_is_waited_for() {
    let server = Server::start(&["--requirepass", "canary", "--maxclients", "1"]);
    let client = redis::Client::open(format!("redis://:canary@127.0.0.1:{}", server.port)).unwrap();
    let only = client.get_connection().unwrap();
    let handle = store(&format!("redis://:canary@127.0.0.1:{}", server.port));
    for _ in 0..5 {
        let result = handle.claim(1, "me", Epoch(0)).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    }
    drop(only);
    claim(&*handle, 1, "me").await;
}

#[tokio::test]
async fn tls_verifies_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    make_certificate(directory.path());
    let file = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, cert, tls_port) = (file("key.pem"), file("cert.pem"), free_port().to_string());
    let _server = Server::start(&[
        "--tls-port",
        &tls_port,
        "--tls-key-file",
        &key,
        "--tls-cert-file",
        &cert,
        "--tls-auth-clients",
        "no",
    ]);
    let handle = store(&format!("rediss://localhost:{tls_port}?ca={cert}"));
    let (epoch, _) = claim(&*handle, 1, "me").await;
    append(&*handle, 1, epoch, 0..10).await;
    let unknown = store(&format!("rediss://localhost:{tls_port}"));
    assert_unavailable(unknown.claim(1, "me", Epoch(0)).await, "certificate");
    let other_name = store(&format!("rediss://127.0.0.1:{tls_port}?ca={cert}"));
    assert_unavailable(other_name.claim(1, "me", Epoch(0)).await, "certificate");
}
