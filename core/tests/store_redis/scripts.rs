//! The Lua scripts in isolation: retries and late arrivals.

use redis::Value;

use crate::server::Server;

const APPEND: &str = include_str!("../../src/store/redis/append.lua");
const CLAIM: &str = concat!(
    include_str!("../../src/store/redis/sizes.lua"),
    include_str!("../../src/store/redis/claim.lua")
);
const CHECKPOINT: &str = concat!(
    include_str!("../../src/store/redis/sizes.lua"),
    include_str!("../../src/store/redis/checkpoint.lua")
);
const RENEW: &str = concat!(
    include_str!("../../src/store/redis/sizes.lua"),
    include_str!("../../src/store/redis/renew.lua")
);
const HEARTBEAT: &str = concat!(
    include_str!("../../src/store/redis/vote.lua"),
    include_str!("../../src/store/redis/heartbeat.lua")
);
const RELEASE: &str = include_str!("../../src/store/redis/release.lua");

fn run(server: &Server, script: &str, arguments: &[&str]) -> Vec<Value> {
    let mut parts = vec!["EVAL", script, "4", "{p}:head", "{p}:log", "{p}:streams", "{p}:fourth"];
    parts.extend(arguments);
    let reply = server.command(&parts);
    let Value::Array(reply) = reply else { panic!("{reply:?}") };
    reply
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn claimed(epoch: i64, claims: &str) -> Vec<Value> {
    let numbers = [epoch, 0, 0].map(Value::Int);
    [&[bulk("ok")], &numbers[..], &[bulk(claims), Value::Nil, Value::Nil, Value::Nil]].concat()
}

fn field(server: &Server, name: &str) -> String {
    redis::from_redis_value(server.command(&["HGET", "{p}:head", name])).unwrap()
}

#[test]
fn a_retried_claim_counts_once_and_a_late_claim_has_no_effect() {
    let server = Server::start(&[]);
    let (one, two) = ("1 0 me\n", "2 0 me\n");
    assert_eq!(run(&server, CLAIM, &["me", "1000", "s", "5", "0", "2000"]), claimed(1, one));
    assert_eq!(run(&server, CLAIM, &["me", "1000", "s", "5", "0", "2000"]), claimed(1, one));
    assert_eq!(run(&server, CLAIM, &["me", "1000", "s", "6", "0", "2000"]), claimed(2, two));
    let late = run(&server, CLAIM, &["me", "1000", "s", "5", "0", "2000"]);
    assert_eq!(late, [bulk("overtaken"), Value::Int(6)]);
    assert_eq!(run(&server, CLAIM, &["me", "1000", "other", "1", "0", "2000"])[1], Value::Int(3));
    let held = run(&server, CLAIM, &["you", "1000", "t", "1", "0", "2000"]);
    assert_eq!((&held[0], &held[1]), (&bulk("held"), &bulk("me")));
    assert_eq!(field(&server, "epoch"), "3");
}

#[test]
fn a_late_checkpoint_of_equal_coverage_changes_nothing() {
    let server = Server::start(&[]);
    run(&server, CLAIM, &["me", "1000", "s", "1", "0", "2000"]);
    let checkpoint = |confirmed, meta, blob, status| {
        let owner = ["1", "s:1", "0", "0", confirmed];
        let reply = run(&server, CHECKPOINT, &[&owner[..], &["0", meta, "1", "7", blob]].concat());
        assert_eq!(reply[0], bulk(status));
        let stored = server.command(&["HGET", "{p}:streams", "7"]);
        (field(&server, "meta"), redis::from_redis_value::<String>(stored).unwrap())
    };
    assert_eq!(checkpoint("0", "m2", "b2", "ok"), ("m2".to_owned(), "b2".to_owned()));
    assert_eq!(checkpoint("1", "m3", "b3", "ok"), ("m3".to_owned(), "b3".to_owned()));
    assert_eq!(checkpoint("1", "m3", "b3", "ok"), ("m3".to_owned(), "b3".to_owned()));
    assert_eq!(checkpoint("0", "m2", "b2", "behind"), ("m3".to_owned(), "b3".to_owned()), "late");
}

#[test]
fn a_renewal_after_a_release_does_not_restore_the_lease() {
    let server = Server::start(&[]);
    run(&server, CLAIM, &["me", "60000", "s", "1", "0", "2000"]);
    assert_eq!(run(&server, RENEW, &["1", "s:1", "0", "0", "0", "60000", "0"]), [bulk("ok")]);
    assert_eq!(run(&server, RELEASE, &["1", "s:1"]), [bulk("ok")]);
    assert_eq!(run(&server, RENEW, &["1", "s:1", "0", "0", "0", "60000", "0"]), [bulk("ok")]);
    assert_eq!(
        run(&server, CLAIM, &["you", "60000", "t", "1", "0", "2000"])[..6],
        claimed(2, "1 0 me\n2 0 you\n")[..6]
    );
}

#[test]
fn a_claim_exceeds_an_epoch_that_the_store_lost() {
    let server = Server::start(&[]);
    for (call, above, claims) in [
        ("1", "0", "1 0 me\n"),
        ("2", "7", "1 0 me\n8 0 me\n"),
        ("3", "7", "1 0 me\n9 0 me\n"),
        ("4", "9", "1 0 me\n9 0 me\n10 0 me\n"),
    ] {
        let claim = run(&server, CLAIM, &["me", "1000", "s", call, above, "2000"]);
        assert_eq!(claim[4], bulk(claims));
    }
}

/// Lua prints numbers of 15 digits as powers of ten, and rounds larger ones.
#[test]
fn a_claim_keeps_all_digits_of_a_large_epoch() {
    let server = Server::start(&[]);
    server.command(&["HSET", "{p}:head", "epoch", "999999999999998", "first", "123456789012345"]);
    let claim = |call, above| run(&server, CLAIM, &["me", "1000", "s", call, above, "2000"]);
    let line = "999999999999999 123456789012345 me\n";
    assert_eq!(claim("1", "0")[4], bulk(line));
    assert_eq!(field(&server, "epoch"), "999999999999999");
    let next = format!("{line}1000000000000000 123456789012345 me\n");
    assert_eq!(claim("2", "999999999999999")[4], bulk(&next));
    assert_eq!(claim("3", "0")[0], bulk("corrupt"), "16 digits");
}

/// Lua accepts these forms of a number; a lease with such an end never ends, or has ended.
#[test]
fn a_lease_with_a_damaged_end_ends_within_its_length() {
    for end in ["nan", "inf", "0x10", "1e3", " 5 ", "99999999999999999999", "x"] {
        let server = Server::start(&[]);
        run(&server, CLAIM, &["you", "60000", "t", "1", "0", "2000"]);
        server.command(&["HSET", "{p}:head", "until", end]);
        let held = run(&server, CLAIM, &["me", "1000", "s", "1", "0", "2000"]);
        let Value::Int(left) = held[2] else { panic!("{end}: {held:?}") };
        assert!((1..=60_000).contains(&left), "{end}: {left}");
        server.command(&["HSET", "{p}:head", "until", end, "lease", "99999999999999999999 t:1"]);
        let held = run(&server, CLAIM, &["me", "1000", "s", "2", "0", "2000"]);
        let Value::Int(left) = held[2] else { panic!("{end}: {held:?}") };
        assert!((1..=2000).contains(&left), "{end}: {left}");
    }
}

#[test]
fn corrupt_membership_entries_are_removed() {
    let server = Server::start(&[]);
    server.command(&["HSET", "{p}:head", "corrupt", "soon", "short", "5 0"]);
    server.command(&["HSET", "{p}:log", "corrupt", "1 soon", "a", "x"]);
    let live = |last, name: &str| {
        [bulk("ok"), Value::Int(last), Value::Int(1), bulk(name), Value::Int(1), Value::Int(1)]
    };
    let left = [bulk("ok"), Value::Int(7), Value::Int(1)];
    assert_eq!(run(&server, HEARTBEAT, &["a", "1", "60000", "7", "1"]), live(0, "a"));
    assert_eq!(run(&server, HEARTBEAT, &["a", "1", "60000", "7", "1"]), live(7, "a"), "retry");
    assert_eq!(run(&server, HEARTBEAT, &["a", "1", "0", "8", "1"]), left);
    for key in ["{p}:head", "{p}:log", "{p}:streams"] {
        assert_eq!(server.command(&["HLEN", key]), Value::Int(0), "{key}");
    }
}

#[test]
fn a_failed_append_does_not_affect_the_others() {
    let server = Server::start(&[]);
    for partition in ["a", "b", "c", "d"] {
        let head = format!("{{{partition}}}:head");
        server.command(&["HSET", &head, "epoch", "3", "first", "0", "claim", "s:1"]);
    }
    // Partition, epoch, claim, index, blob.
    let call = |appends: &[[&str; 5]]| {
        let keys =
            appends.iter().flat_map(|[p, ..]| [format!("{{{p}}}:head"), format!("{{{p}}}:log")]);
        let arguments = appends.iter().flat_map(|[_, epoch, claim, index, blob]| {
            [*epoch, claim, index, blob, "0", "0", "0"].map(str::to_owned)
        });
        let count = (2 * appends.len()).to_string();
        let parts = ["EVAL", APPEND, &count].map(str::to_owned);
        let parts: Vec<_> = parts.into_iter().chain(keys).chain(arguments).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let Value::Array(reply) = server.command(&parts) else { panic!("no array") };
        reply
    };
    let length = |partition| server.command(&["LLEN", &format!("{{{partition}}}:log")]);

    let valid =
        [["a", "3", "s:1", "0", "x"], ["b", "3", "", "0", "x"], ["a", "3", "s:1", "1", "y"]];
    assert_eq!(call(&valid), [bulk("ok")]);
    assert_eq!(call(&valid), [bulk("ok")], "retry");
    assert_eq!((length("a"), length("b")), (Value::Int(2), Value::Int(1)));

    let replies = call(&[
        ["a", "3", "s:1", "2", "z"],
        ["b", "2", "s:1", "1", "old epoch"],
        ["b", "3", "s:2", "1", "other claim"],
        ["a", "3", "s:1", "0", "other blob"],
        ["c", "3", "s:1", "1", "gap"],
        ["d", "3", "s:1", "0", "x"],
    ]);
    let one = |parts: &[Value]| Value::Array(parts.to_vec());
    assert_eq!(replies[0], one(&[bulk("ok")]));
    assert_eq!(replies[1..3], [one(&[bulk("fenced")]), one(&[bulk("fenced")])]);
    assert_eq!(replies[3], one(&[bulk("conflict")]));
    assert_eq!(replies[4], one(&[bulk("behind"), Value::Int(0)]));
    assert_eq!(replies[5], one(&[bulk("ok")]));
    let lengths = ["a", "b", "c", "d"].map(length);
    assert_eq!(lengths, [3, 1, 0, 1].map(Value::Int));
}
