//! Tests of the form of requests.

use minerva_proto::app::message::Content as Kind;
use minerva_proto::app::{GetRequest, SendRequest, SendToGroupRequest};

use super::*;

fn raw(form: Form, query: Option<&str>, body: &str) -> RawRequest {
    let (query, key) = (query.map(str::to_owned), Some("key".into()));
    RawRequest { form, query, key, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn json_error(body: &str) -> String {
    let decoded = raw(Form::Json, None, body).decode::<SendRequest>(&Codec::new().unwrap());
    format!("{:?}", decoded.unwrap_err())
}

#[test]
fn messages_are_texts_or_binary() {
    let body = r#"{"group":"news","messages":["ü",{"text":"b"},{"binary":"AP8="}]}"#;
    let decoded = raw(Form::Json, None, body).decode::<SendToGroupRequest>(&Codec::new().unwrap());
    let decoded = decoded.unwrap();
    assert_eq!((&*decoded.group, &*decoded.idempotency_key), ("news", &b"key"[..]));
    let contents: Vec<_> = decoded.contents.into_iter().filter_map(|one| one.content).collect();
    let binary = Kind::Binary(Bytes::from_static(&[0, 255]));
    assert_eq!(contents, [Kind::Text("ü".into()), Kind::Text("b".into()), binary]);
}

#[test]
fn a_wrong_body_is_refused_with_the_field_and_the_fix() {
    for (body, expected) in [
        ("", "is no JSON"),
        ("[]", "must be a JSON object"),
        (r#"{"messages":"a"}"#, r#"must be a list"#),
        (r#"{"messages":[1]}"#, "message 0"),
        (r#"{"messages":[{"text":"a","binary":""}]}"#, "message 0"),
        (r#"{"messages":[{"binary":"!"}]}"#, "body"),
        (r#"{"contents":[]}"#, "use `messages`"),
        (r#"{"idempotencyKey":"a"}"#, "Idempotency-Key"),
        (r#"{"idempotency_key":"a"}"#, "Idempotency-Key"),
        (r#"{"unknown":1}"#, "unknown"),
        (r#"{"target":{"stream":"x"}}"#, "body"),
    ] {
        let error = json_error(body);
        assert!(error.contains(expected), "{body}: {error}");
    }
}

#[test]
fn a_binary_body_is_one_message() {
    let codec = Codec::new().unwrap();
    let to_group = raw(Form::Binary, Some("group=news&service=chat"), "ab");
    let decoded = to_group.decode::<SendToGroupRequest>(&codec).unwrap();
    assert_eq!((&*decoded.group, &*decoded.service), ("news", "chat"));
    assert_eq!(decoded.contents[0].content, Some(Kind::Binary("ab".into())));
    let to_stream = raw(Form::Binary, Some("stream=7"), "ab").decode::<SendRequest>(&codec);
    let target = to_stream.unwrap().target.unwrap();
    assert_eq!(target.target, Some(minerva_proto::app::target::Target::Stream(7)));
    let to_label = raw(Form::Binary, Some("label=ann&service=s"), "").decode::<SendRequest>(&codec);
    assert_eq!(to_label.unwrap().target.unwrap().service, "s");
    for query in ["stream_id=secret", "group=a&group=b", "x=1"] {
        let refused = raw(Form::Binary, Some(query), "a").decode::<SendToGroupRequest>(&codec);
        assert!(refused.is_err(), "{query}");
    }
    let no_send = raw(Form::Binary, Some("stream=7"), "a").decode::<GetRequest>(&codec);
    assert_eq!(no_send.unwrap_err().status(), 415);
}

#[test]
fn the_form_of_the_headers_is_checked() {
    for (value, expected) in [
        ("application/json", Some(Form::Json)),
        ("Application/JSON; charset=utf-8", Some(Form::Json)),
        ("application/octet-stream", Some(Form::Binary)),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
    ] {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        assert_eq!(form(&headers).ok(), expected, "{value}");
    }
    assert!(form(&HeaderMap::new()).is_err());
    for (length, ok) in [(0, false), (1, true), (64, true), (65, false)] {
        assert_eq!(key(&"k".repeat(length).parse().unwrap()).is_ok(), ok, "{length}");
    }
    assert!(key(&"a b".parse().unwrap()).is_err());
}
