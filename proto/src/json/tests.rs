//! Valid and invalid JSON, exact integers, and agreement with serde_json.

use proptest::prelude::*;

use super::*;

#[test]
fn valid_json_is_parsed() {
    let text = br#"{"a":[1,-2.5e3,"x\u0041\ud83d\ude00\n"],"b":{},"c":[] , "d" : [ true , false , null ]}"#;
    let Ok(Value::Object(members)) = parse(text) else { panic!("not read") };
    let messages = Value::Array(vec![
        Value::Number("1".into()),
        Value::Number("-2.5e3".into()),
        Value::String("xA😀\n".into()),
    ]);
    assert_eq!(members["a"], messages);
    assert_eq!(members["b"], Value::Object(BTreeMap::new()));
    assert_eq!(members["c"], Value::Array(vec![]));
    assert_eq!(
        members["d"],
        Value::Array(vec![Value::Bool(true), Value::Bool(false), Value::Null])
    );
}

#[test]
fn invalid_json_is_rejected() {
    for text in [
        "",
        " ",
        "{",
        "{\"a\"}",
        "{\"a\":1,}",
        "[1,]",
        "[,]",
        "01",
        "1.",
        ".1",
        "1e",
        "-",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        "nul",
        "truex",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"a\u{1}b\"",
        "1 ",
        "{} ",
        " {} ",
        "\u{b}1",
        "\u{c}1",
        "\u{a0}1",
        "\u{feff}1",
        "1 2",
        "'a'",
        "\"\\ud800é\"",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(JsonError), "{text:?}");
    }
    assert_eq!(parse(b"\"\xff\""), Err(JsonError));
}

#[test]
fn white_space_may_precede_the_text() {
    for text in [" 1", "\t1", "\n1", "\r1", " \t\r\n 1"] {
        assert_eq!(parse(text.as_bytes()), Ok(Value::Number("1".into())), "{text:?}");
    }
}

#[test]
fn last_of_repeated_keys_counts() {
    let Ok(Value::Object(members)) = parse(br#"{"a":1,"a":2}"#) else { panic!("not read") };
    assert_eq!(members["a"], Value::Number("2".into()));
}

#[test]
fn depth_is_bounded() {
    for (depth, ok) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(parse(text.as_bytes()).is_ok(), ok, "{depth}");
    }
    assert_eq!(parse("[".repeat(1_000_000).as_bytes()), Err(JsonError));
    assert_eq!(parse("{\"a\":".repeat(1_000_000).as_bytes()), Err(JsonError));
}

#[test]
fn integers_are_exact() {
    let integer = |text: &str| parse(text.as_bytes()).ok()?.integer(1 << 53);
    for (text, number) in
        [("0", 0), ("-0", 0), ("-0.0", 0), ("1.0", 1), ("1e3", 1000), ("9007199254740992", 1 << 53)]
    {
        assert_eq!(integer(text), Some(number), "{text}");
    }
    for text in [
        "1.5",
        "-1",
        "-1.0",
        "9007199254740993",
        "99999999999999999999999",
        "1e400",
        "1e-400",
        "true",
        "\"1\"",
        "[]",
    ] {
        let wrong = if text == "1e-400" { Some(0) } else { None };
        assert_eq!(integer(text), wrong, "{text}");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn random_json_like_text_never_panics(text in r#"[{}\[\]",:0-9eE.+\-\\utrfalsn 😀é]{0,60}"#) {
        let _ = parse(text.as_bytes());
    }

    /// The reader differs from serde_json only in the deviations that the module documents.
    #[test]
    fn agrees_with_serde_json(text in r#"(\{"[ab]":)?[\[]?(-?[0-9]{1,3}(\.[0-9])?|"[a-z\\nu"é]{0,6}"|true|null|\[\]|\{\})[\]]?\}?"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(parse(text.as_bytes()).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn strings_round_trip(text in any::<String>()) {
        let mut json = String::new();
        write_string(&text, &mut json);
        prop_assert!(!json.contains(['\n', '\r']));
        prop_assert_eq!(parse(json.as_bytes()), Ok(Value::String(text)));
    }
}
