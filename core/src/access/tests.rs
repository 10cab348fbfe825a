use std::sync::Arc;

use clap::Parser;
use prometheus_client::registry::Registry;

use super::token::TokenRecord;
use super::*;
use crate::store::OperatorStore;
use crate::store::memory::MemoryStore;

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    access: AccessConfig,
}

fn config(arguments: &str) -> AccessConfig {
    Program::parse_from(std::iter::once("core").chain(arguments.split_whitespace())).access
}

fn token(scope: Scope, right: Right, expires: Option<u64>) -> (TokenRecord, String) {
    let rights = [right].into_iter().collect();
    TokenRecord::create(scope, rights, now_seconds(), expires).unwrap()
}

async fn access(store: &MemoryStore, options: &str) -> (Access, TokenSource) {
    let config = config(options);
    let source = TokenSource::load(Arc::new(store.clone()), config.token_file.clone()).await;
    let source = source.unwrap();
    let metrics = Metrics::new(&mut Registry::default());
    (Access::new(&config, source.subscribe(), metrics), source)
}

fn from(origin: Origin) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(origin);
    extensions
}

#[test]
fn a_listener_for_other_machines_needs_tls_or_insecure() {
    for (address, options, has_tls, ok) in [
        ("127.0.0.1:1", "", false, true),
        ("[::1]:1", "--require-tokens", false, true),
        ("[::ffff:127.0.0.1]:1", "", false, true),
        ("0.0.0.0:1", "", false, false),
        ("[::]:1", "", false, false),
        ("192.0.2.1:1", "--require-tokens", false, false),
        ("192.0.2.1:1", "", true, true),
        ("0.0.0.0:1", "--insecure", false, true),
        ("0.0.0.0:1", "--insecure --require-tokens", false, true),
    ] {
        let checked = config(options).check_listener("--api", address.parse().unwrap(), has_tls);
        assert_eq!(checked.is_ok(), ok, "{address} {options}");
        if let Err(error) = checked {
            let text = error.to_string();
            assert!(text.contains("--api") && text.contains("--insecure"), "{text}");
        }
    }
}

#[test]
fn the_options_decide_about_callers_without_a_credential() {
    for (options, anonymous) in [
        ("", Anonymous::Loopback),
        ("--insecure", Anonymous::Everyone),
        ("--require-tokens", Anonymous::Nobody),
        ("--insecure --require-tokens", Anonymous::Nobody),
    ] {
        assert_eq!(config(options).anonymous(), anonymous, "{options}");
    }
}

#[tokio::test]
async fn a_caller_is_identified_by_the_bearer_token() {
    let store = MemoryStore::new();
    let (record, text) = token(Scope::One("chat".into()), Right::Send, None);
    store.set_token(&record.id, Some(record.encode().into())).await.unwrap();
    let (access, _source) = access(&store, "").await;
    let remote = from(Origin::Remote);
    for value in [format!("Bearer {text}"), format!("bearer  {text} ")] {
        let caller = access.caller(Some(value.as_bytes()), &remote).unwrap();
        assert_eq!(access.check(&caller, Right::Send, Some("chat")), Ok(()));
        let error = access.check(&caller, Right::Send, Some("news")).unwrap_err();
        assert_eq!(Status::from(error).code(), Code::PermissionDenied);
    }
    let long = format!("Bearer {}", "x".repeat(MAX_AUTHORIZATION));
    for (value, reason) in [
        (&*text, "TOKEN_INVALID"),
        ("", "TOKEN_INVALID"),
        ("Basic eDp5", "TOKEN_INVALID"),
        ("Bearer mnv_x", "TOKEN_INVALID"),
        (&long, "TOKEN_INVALID"),
    ] {
        // A wrong token is refused also on loopback, where no token is needed.
        let error = access.caller(Some(value.as_bytes()), &from(Origin::Loopback)).unwrap_err();
        assert_eq!(error.reason(), reason, "{value}");
        assert!(!error.to_string().contains(&text), "{error}");
        assert_eq!(Status::from(error).code(), Code::Unauthenticated);
    }
    let anonymous = access.caller(None, &remote).unwrap();
    let error = access.check(&anonymous, Right::Send, Some("chat")).unwrap_err();
    assert_eq!(Status::from(error).code(), Code::Unauthenticated);
    let unknown_origin = access.caller(None, &Extensions::new()).unwrap();
    assert!(access.check_any(&unknown_origin).is_err(), "counts as remote");
    let refused = |reason| access.metrics.calls_refused.get_or_create(&[("reason", reason)]).get();
    assert_eq!((refused("TOKEN_INVALID"), refused("NOT_PERMITTED")), (5, 2));
    assert_eq!(refused("TOKEN_MISSING"), 2);
}

#[tokio::test]
async fn metrics_need_a_token_with_that_right() {
    let store = MemoryStore::new();
    let mut values = Vec::new();
    for right in [Right::Metrics, Right::Read] {
        let (record, text) = token(Scope::All, right, None);
        store.set_token(&record.id, Some(record.encode().into())).await.unwrap();
        values.push(format!("Bearer {text}"));
    }
    let (access, _source) = access(&store, "").await;
    let may_read = |value: &str| access.may_read_metrics(value.as_bytes());
    assert!(may_read(&values[0]) && !may_read(&values[1]) && !may_read("Bearer mnv_x"));
}

#[tokio::test(start_paused = true)]
async fn new_and_revoked_tokens_are_known_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let (of_file, file_token) = token(Scope::All, Right::Read, None);
    file::set(&path, &of_file).unwrap();
    let store = MemoryStore::new();
    let (access, source) = access(&store, &format!("--token-file {}", path.display())).await;
    let watching = tokio::spawn(source.watch());
    let remote = from(Origin::Remote);
    let caller = |text: &str| access.caller(Some(format!("Bearer {text}").as_bytes()), &remote);
    assert!(caller(&file_token).is_ok());
    let (record, text) = token(Scope::All, Right::Send, None);
    assert!(caller(&text).is_err());
    store.set_token(&record.id, Some(record.encode().into())).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (stored, of_file_caller) = (caller(&text).unwrap(), caller(&file_token).unwrap());
    let ends = [stored, of_file_caller].map(|caller| {
        let access = access.clone();
        tokio::spawn(async move { access.revoked(&caller).await })
    });
    sleep(Duration::from_secs(5)).await;
    assert!(ends.iter().all(|end| !end.is_finished()));
    store.set_token(&record.id, None).await.unwrap();
    file::remove(&path, &of_file.id).unwrap();
    for end in ends {
        let error = tokio::time::timeout(Duration::from_secs(1), end).await.unwrap().unwrap();
        assert_eq!(error.reason(), "TOKEN_INVALID");
    }
    assert!(caller(&text).is_err() && caller(&file_token).is_err());
    // A damaged file changes nothing.
    file::set(&path, &of_file).unwrap();
    sleep(Duration::from_secs(1)).await;
    std::fs::write(&path, "damaged").unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(caller(&file_token).is_ok());
    watching.abort();
}

#[tokio::test]
async fn an_expired_token_ends_its_open_call() {
    let store = MemoryStore::new();
    let (record, text) = token(Scope::All, Right::Send, Some(now_seconds() + 1));
    store.set_token(&record.id, Some(record.encode().into())).await.unwrap();
    let (access, _source) = access(&store, "").await;
    let value = format!("Bearer {text}");
    let caller = access.caller(Some(value.as_bytes()), &from(Origin::Remote)).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), access.revoked(&caller)).await;
    assert_eq!(ended.unwrap().reason(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_damaged_token_in_the_store_harms_no_other() {
    let store = MemoryStore::new();
    let (record, text) = token(Scope::All, Right::Send, None);
    store.set_token("bad", Some("damaged".into())).await.unwrap();
    store.set_token(&record.id, Some(record.encode().into())).await.unwrap();
    let (access, _source) = access(&store, "").await;
    let value = format!("Bearer {text}");
    assert!(access.caller(Some(value.as_bytes()), &from(Origin::Remote)).is_ok());
}

#[tokio::test]
async fn a_missing_token_file_stops_the_start() {
    let config = config("--token-file /nowhere/tokens");
    let loaded = TokenSource::load(Arc::new(MemoryStore::new()), config.token_file).await;
    let error = loaded.err().unwrap().to_string();
    assert!(error.contains("/nowhere/tokens"), "{error}");
}
