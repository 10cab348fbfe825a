//! Defaults, limits and round trips of the hello.

use proptest::prelude::*;

use super::*;
use crate::MessageNumber;

const GOOD: &str =
    r#"{"tnum":0,"ver":2,"id":"abcdefghijklmnopqrst","ming":true,"maxia":0,"seenack":"|-1"}"#;

/// Parses `GOOD` with one more member, which replaces an earlier one of the same key.
fn with(member: &str) -> Result<Hello, HelloError> {
    Hello::parse(GOOD.replace('}', &format!(",{member}}}")).as_bytes())
}

#[test]
fn absent_keys_have_defaults() {
    let hello = Hello::parse(GOOD.as_bytes()).unwrap();
    assert_eq!((hello.new, hello.sack, hello.eeds), (false, None, Eeds::Absent));
    assert_eq!((hello.maxt, hello.cred, hello.why), (None, None, None));
    assert_eq!((hello.maxia, hello.beat), (Duration::ZERO, Duration::ZERO));
    assert_eq!(hello.seenack, Sack::NONE);
}

#[test]
fn numbers_at_their_limits() {
    for (key, limit) in [
        ("tnum", MAX_NUMBER),
        ("eeds", MAX_NUMBER),
        ("maxb", MAX_NUMBER),
        ("maxt", MAX_NUMBER),
        ("maxia", 600),
        ("beat", 600),
        ("pad", 16384),
    ] {
        for (number, ok) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            assert_eq!(with(&format!("\"{key}\":{number}")).is_ok(), ok, "{key} {number}");
        }
        assert!(with(&format!("\"{key}\":-1")).is_err(), "{key}");
    }
}

#[test]
fn texts_at_their_limits() {
    for (key, limit) in [("cred", MAX_CRED), ("why", MAX_WHY)] {
        for (length, ok) in [(0, true), (limit - 1, true), (limit, true), (limit + 1, false)] {
            let text = "c".repeat(length);
            assert_eq!(with(&format!("\"{key}\":\"{text}\"")).is_ok(), ok, "{key} {length}");
        }
        assert_eq!(with(&format!("\"{key}\":1")), Err(HelloError::Wrong(key)));
    }
}

#[test]
fn only_credentials_and_cause_may_be_unicode() {
    assert_eq!(with(r#""cred":"\u00e9""#).unwrap().cred.as_deref(), Some("é"));
    assert_eq!(with(r#""why":"€""#).unwrap().why.as_deref(), Some("€"));
    for member in [r#""zzz":"\u20ac""#, r#""zzz":"é""#, r#""é":"é""#, r#""tcpack":"é""#] {
        assert_eq!(with(member), Err(HelloError::NotAscii), "{member}");
    }
}

#[test]
fn unknown_keys_and_nested_texts_may_be_unicode() {
    for member in [r#""é":1"#, r#""\u00e9":[]"#, r#""zzz":["é",{"a":"😀"}]"#, r#""zzz":{"é":1}"#]
    {
        assert!(with(member).is_ok(), "{member}");
    }
}

#[test]
fn white_space_may_precede_the_object() {
    for (before, after, ok) in [
        (" ", "", true),
        ("\t\r\n", "", true),
        ("", " ", false),
        ("", "\n", false),
        ("\u{a0}", "", false),
    ] {
        assert_eq!(
            Hello::parse(format!("{before}{GOOD}{after}").as_bytes()).is_ok(),
            ok,
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn errors_name_the_key() {
    assert_eq!(Hello::parse(b"[]"), Err(HelloError::Json));
    assert_eq!(Hello::parse(b"{}"), Err(HelloError::Missing("ver")));
    assert_eq!(with(r#""ming":null"#), Err(HelloError::Wrong("ming")));
}

#[test]
fn debug_shows_no_secret() {
    let hello = with(r#""cred":"token""#).unwrap();
    let shown = format!("{hello:?}");
    assert!(!shown.contains("token") && !shown.contains("abcdefghij"), "{shown}");
}

fn hellos() -> impl Strategy<Value = Hello> {
    let sack = || {
        let message = || (0..=MAX_NUMBER).prop_map(MessageNumber);
        (prop::option::of(message()), prop::collection::vec(message(), 0..4))
            .prop_map(|(acked, beyond)| Sack { acked, beyond })
    };
    let transport = || (0..=MAX_NUMBER).prop_map(TransportNumber);
    let eeds =
        prop_oneof![Just(Eeds::Absent), Just(Eeds::Null), transport().prop_map(Eeds::Number)];
    let id = "[\\x00-\\x7f]{20,30}".prop_map(|id| StreamId::parse(&id).unwrap());
    let who = (transport(), id, any::<bool>(), any::<bool>());
    let when = (0_u64..=600, prop::option::of(0..=MAX_NUMBER), 0_u64..=600);
    let texts = (prop::option::of(any::<String>()), prop::option::of("\\PC{0,20}"));
    (who, when, sack(), prop::option::of(sack()), eeds, texts).prop_map(
        |((tnum, id, new, ming), (maxia, maxt, beat), seenack, sack, eeds, (cred, why))| Hello {
            tnum,
            id,
            new,
            ming,
            maxia: Duration::from_secs(maxia),
            beat: Duration::from_secs(beat),
            seenack,
            sack,
            eeds,
            maxt: maxt.map(Duration::from_secs),
            cred,
            why,
        },
    )
}

proptest! {
    #[test]
    fn round_trips_on_one_line(hello in hellos()) {
        let json = hello.to_json();
        prop_assert!(!json.contains(['\n', '\r']));
        prop_assert_eq!(Hello::parse(json.as_bytes()), Ok(hello));
    }

    #[test]
    fn random_values_never_panic(key in "tnum|ver|id|new|ming|maxia|beat|seenack|sack|eeds|maxt|maxb|pad|format|cred|why|x", value in "[-0-9.eE\"|,\\[\\]{}:a-f\\\\]{0,20}") {
        let _ = with(&format!("\"{key}\":{value}"));
    }
}
