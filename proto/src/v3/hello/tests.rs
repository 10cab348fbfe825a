//! Limits, exclusions and round trips of the hello of version 3, beside version 2.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{ClaimTag, MAX_TAG_PAIRS, MessageTag, Sack, StreamId, StreamNumber, TransportNumber};

const KEY: &str = "Zk1uQ0pXc3VqV2h5dEJtRQ";
const GOOD: &str = concat!(
    r#"{"ver":3,"tnum":0,"id":"abcdefghijklmnopqrst","key":"Zk1uQ0pXc3VqV2h5dEJtRQ","#,
    r#""ming":true,"maxia":0,"seenack":"|-1"}"#
);

fn parse(json: &str) -> Result<Hello, HelloError> {
    match AnyHello::parse(json.as_bytes(), 3)? {
        AnyHello::V3(hello) => Ok(hello),
        AnyHello::V2(_) => panic!("version 2: {json}"),
    }
}

/// Parses `GOOD` with more members, which replace earlier ones of the same key.
fn with(members: &str) -> Result<Hello, HelloError> {
    parse(&GOOD.replace('}', &format!(",{members}}}")))
}

#[test]
fn absent_keys_have_defaults() {
    let hello = parse(GOOD).unwrap();
    assert_eq!((hello.key.as_str(), hello.generation), (KEY, 0));
    assert_eq!((&hello.next, hello.rewind, hello.own, hello.born), (&None, None, None, None));
    assert!(hello.tags.is_empty() && !hello.inflates);
}

#[test]
fn numbers_at_their_limits() {
    for (key, limit) in [
        ("gen", u64::from(MAX_GENERATION)),
        ("rew", MAX_NUMBER),
        ("own", MAX_NUMBER),
        ("z", 1),
        ("tnum", MAX_NUMBER),
    ] {
        for (number, ok) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let result = with(&format!("\"{key}\":{number}"));
            assert_eq!(result.err(), (!ok).then_some(HelloError::Wrong(key)), "{key} {number}");
        }
        assert_eq!(with(&format!("\"{key}\":-1")), Err(HelloError::Wrong(key)));
    }
}

#[test]
fn keys_have_22_base64url_characters() {
    for key in ["key", "next"] {
        for (text, ok) in [
            (&"aZ09-_".repeat(4)[..22], true),
            (&KEY[1..], false),
            ("Zk1uQ0pXc3VqV2h5dEJtRQ=", false),
            ("Zk1uQ0pXc3VqV2h5dEJtR+", false),
            ("Zk1uQ0pXc3VqV2h5dEJté", false),
        ] {
            let result = with(&format!("\"gen\":1,\"{key}\":\"{text}\""));
            assert_eq!(result.err(), (!ok).then_some(HelloError::Wrong(key)), "{key} {text}");
        }
    }
}

#[test]
fn errors_name_the_key() {
    let without = |key: &str| parse(&GOOD.replace(&format!("\"{key}\":"), "\"x\":"));
    for key in ["tnum", "id", "key", "ming", "maxia", "seenack"] {
        assert_eq!(without(key), Err(HelloError::Missing(key)));
    }
    for (members, key) in [
        (r#""rew":"old""#, "rew"),
        (r#""rew":true"#, "rew"),
        (r#""own":null"#, "own"),
        (r#""born":7"#, "born"),
        (r#""born":"0.0000000000000001""#, "born"),
        (r#""line":"""#, "line"),
        (r#""line":"1 0""#, "line"),
        (r#""z":"1""#, "z"),
        (r#""gen":1.5"#, "gen"),
        (r#""id":"short""#, "id"),
        (r#""pad":99999"#, "pad"),
    ] {
        assert_eq!(with(members), Err(HelloError::Wrong(key)), "{members}");
    }
}

#[test]
fn a_created_stream_is_not_new() {
    let born = r#""born":"7.0000000000000001""#;
    assert!(with(born).is_ok() && with(&format!("{born},\"new\":false")).is_ok());
    assert_eq!(with(&format!("{born},\"new\":true")), Err(HelloError::Excluded("born", "new")));
}

#[test]
fn the_next_key_belongs_to_a_later_generation() {
    let next = format!("\"next\":\"{KEY}\"");
    assert_eq!(with(&next), Err(HelloError::Missing("gen")));
    assert!(with(&format!("{next},\"gen\":1")).is_ok());
}

#[test]
fn unknown_keys_are_ignored() {
    assert_eq!(with(r#""é":["é",{"x":1e99}],"trace":"00""#), parse(GOOD));
}

#[test]
fn the_newest_version_is_a_parameter() {
    let refused = AnyHello::parse(GOOD.as_bytes(), 2);
    assert_eq!(refused, Err(HelloError::Wrong("ver")));
    assert_eq!(crate::Hello::parse(GOOD.as_bytes()), Err(HelloError::Wrong("ver")));
    for version in ["0", "1", "4", "\"3\"", "null"] {
        let json = GOOD.replacen('3', version, 1);
        assert_eq!(AnyHello::parse(json.as_bytes(), 3), Err(HelloError::Wrong("ver")), "{version}");
    }
    for version in ["3.0", "3e0"] {
        assert_eq!(parse(&GOOD.replacen('3', version, 1)), parse(GOOD));
    }
    let json = GOOD.replacen('3', "2", 1);
    for newest in [2, 3] {
        let common = crate::Hello::parse(json.as_bytes()).unwrap();
        assert_eq!(AnyHello::parse(json.as_bytes(), newest), Ok(AnyHello::V2(common)));
    }
}

#[test]
fn refusals_of_hellos_name_the_key() {
    for (error, code, named) in [
        (HelloError::Wrong("ver"), "version", "`ver`"),
        (HelloError::Missing("ver"), "hello", "`ver`"),
        (HelloError::Wrong("key"), "hello", "`key`"),
        (HelloError::Excluded("born", "new"), "hello", "`born` excludes `new`"),
        (HelloError::Json, "hello", "JSON"),
    ] {
        let refusal = Refusal::from(error);
        assert_eq!(refusal.code_text(), code);
        assert!(refusal.title().contains(named), "{}", refusal.title());
    }
}

#[test]
fn debug_shows_no_secret() {
    let hello = with(&format!("\"gen\":1,\"next\":\"{}\",\"cred\":\"token\"", "n".repeat(22)));
    let shown = format!("{:?}", hello.unwrap());
    for secret in ["abcdefgh", "Zk1u", "nnnn", "token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn hellos() -> impl Strategy<Value = Hello> {
    let message = || (0..=MAX_NUMBER).prop_map(MessageNumber);
    let key = || "[-_A-Za-z0-9]{22}".prop_map(|key| ResumeKey::parse(&key).unwrap());
    let rewind =
        prop_oneof![Just(Rewind::All), Just(Rewind::New), message().prop_map(Rewind::From)];
    let owned = (key(), prop::option::of(key()), 1..=MAX_GENERATION, any::<bool>());
    let born = prop::option::of((1..=u64::MAX, any::<u64>()));
    let tags = prop::collection::btree_map(0..=MAX_NUMBER, any::<u64>(), 0..=MAX_TAG_PAIRS);
    let sent = (prop::option::of(rewind), prop::option::of(message()), born, tags);
    (
        owned,
        sent,
        "[\\x00-\\x7f]{20,30}",
        any::<bool>(),
        any::<bool>(),
        prop::option::of(any::<String>()),
    )
        .prop_map(
            |(
                (key, next, generation, later),
                (rewind, own, born, tags),
                id,
                new,
                inflates,
                cred,
            )| {
                let pairs = tags.into_iter().map(|(first, tag)| MessageTag {
                    first: MessageNumber(first),
                    tag: ClaimTag(tag),
                });
                let born = born.filter(|_| !new).map(|(stream, tag)| StreamCreation {
                    stream: StreamNumber(stream),
                    tag: ClaimTag(tag),
                });
                Hello {
                    common: crate::Hello { new, cred, ..common(&id) },
                    key,
                    next: next.filter(|_| later),
                    generation: if later { generation } else { 0 },
                    rewind,
                    own,
                    born,
                    tags: ReceivedTags::new(pairs.collect()).unwrap(),
                    inflates,
                }
            },
        )
}

fn common(id: &str) -> crate::Hello {
    crate::Hello {
        tnum: TransportNumber(7 << 32),
        id: StreamId::parse(id).unwrap(),
        new: false,
        ming: true,
        maxia: Duration::from_secs(20),
        beat: Duration::from_secs(25),
        seenack: Sack::NONE,
        sack: Some(Sack::up_to(7)),
        eeds: Eeds::Number(TransportNumber(3)),
        maxt: Some(Duration::from_secs(60)),
        cred: None,
        why: Some("network changed".to_owned()),
    }
}

proptest! {
    #[test]
    fn round_trips_on_one_line(hello in hellos()) {
        let json = hello.to_json();
        prop_assert!(!json.contains(['\n', '\r']));
        prop_assert_eq!(parse(&json), Ok(hello));
    }

    #[test]
    fn random_values_never_panic(
        key in "ver|key|next|gen|rew|own|born|line|z",
        value in "[-0-9.eE\"|,\\[\\]{}: a-f\\\\]{0,30}",
    ) {
        let _ = AnyHello::parse(GOOD.replace('}', &format!(",\"{key}\":{value}}}")).as_bytes(), 3);
    }
}
