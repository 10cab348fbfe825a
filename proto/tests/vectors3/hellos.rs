//! Hellos of version 3.

use std::time::Duration;

use minerva_proto::v3::{AnyHello, Hello, Refusal, ResumeKey, Rewind, StreamCreation};
use minerva_proto::{
    ClaimTag, Eeds, MessageNumber, MessageTag, ReceivedTags, StreamId, TransportNumber,
};
use serde_json::Value;

use super::entries::{code, entries, sack, text};

fn hello(decoded: &Value) -> Hello {
    let member = |key: &str| decoded.get(key).map(text);
    let number = |key: &str| decoded[key].as_u64();
    let key = |name: &str| member(name).map(|key| ResumeKey::parse(&key).unwrap());
    Hello {
        common: common(decoded),
        key: key("key").unwrap(),
        next: key("next"),
        generation: number("gen").map_or(0, |number| u32::try_from(number).unwrap()),
        rewind: decoded.get("rew").map(|rewind| match rewind.as_str() {
            Some("all") => Rewind::All,
            Some("new") => Rewind::New,
            Some(other) => panic!("no such rewind: {other}"),
            None => Rewind::From(MessageNumber(rewind.as_u64().unwrap())),
        }),
        own: number("own").map(MessageNumber),
        born: member("born").map(|born| StreamCreation::parse(born.as_bytes()).unwrap()),
        tags: tags(member("line")),
        inflates: decoded["z"] == true,
    }
}

fn common(decoded: &Value) -> minerva_proto::Hello {
    let member = |key: &str| decoded.get(key).map(text);
    let seconds = |key: &str| decoded[key].as_u64().map(Duration::from_secs);
    minerva_proto::Hello {
        tnum: TransportNumber(decoded["tnum"].as_u64().unwrap()),
        id: StreamId::parse(&member("id").unwrap()).unwrap(),
        new: decoded["new"] == true,
        ming: decoded["ming"] == true,
        maxia: seconds("maxia").unwrap(),
        beat: seconds("beat").unwrap_or_default(),
        seenack: sack(&decoded["seenack"]),
        sack: decoded.get("sack").map(sack),
        eeds: match decoded.get("eeds") {
            None => Eeds::Absent,
            Some(Value::Null) => Eeds::Null,
            Some(number) => Eeds::Number(TransportNumber(number.as_u64().unwrap())),
        },
        maxt: seconds("maxt"),
        cred: member("cred"),
        why: member("why"),
    }
}

fn tags(line: Option<String>) -> ReceivedTags {
    let pair = |pair: &str| {
        let (first, tag) = pair.split_once(' ').unwrap();
        let first = MessageNumber(first.parse().unwrap());
        MessageTag { first, tag: ClaimTag::parse(tag.as_bytes()).unwrap() }
    };
    let pairs = line.iter().flat_map(|line| line.split(',')).map(pair);
    ReceivedTags::new(pairs.collect()).unwrap()
}

#[test]
fn hellos_parse_and_encode() {
    for entry in entries("hellos") {
        let (name, json) = (&entry["name"], entry["json"].as_str().unwrap());
        let expected = hello(&entry["decoded"]);
        if entry["canonical"] == true {
            assert_eq!(expected.to_json(), json, "{name}");
        }
        let parsed = AnyHello::parse(json.as_bytes(), 3);
        assert_eq!(parsed, Ok(AnyHello::V3(expected)), "{name}");
    }
}

#[test]
fn invalid_hellos_are_refused_by_key() {
    for entry in entries("hellos_refused") {
        let error = AnyHello::parse(entry["json"].as_str().unwrap().as_bytes(), 3).unwrap_err();
        let refusal = Refusal::from(error);
        let key = entry["key"].as_str().map_or("JSON".to_owned(), |key| format!("`{key}`"));
        assert_eq!(refusal.code(), Some(code(&entry)), "{}", entry["name"]);
        assert!(refusal.title().contains(&key), "{}: {}", entry["name"], refusal.title());
    }
}
