//! The hello, a JSON object: accepted values are within their bounds and survive a round trip.

use std::time::Duration;

use minerva_proto::hello::{MAX_CRED, MAX_WHY};
use minerva_proto::{Eeds, Hello, Sack, StreamId, TransportNumber};

pub fn run(input: &[u8]) {
    let Ok(hello) = Hello::parse(input) else { return };
    assert!(hello.cred.as_ref().is_none_or(|cred| cred.len() <= MAX_CRED), "cred is too long");
    assert!(hello.why.as_ref().is_none_or(|why| why.len() <= MAX_WHY), "why is too long");
    assert!(hello.maxia.max(hello.beat) <= Duration::from_secs(600), "a heartbeat is too rare");
    let json = hello.to_json();
    assert!(json.len() <= 6 * input.len() + 100, "the output is larger than escapes explain");
    assert!(Hello::parse(json.as_bytes()) == Ok(hello), "a round trip changes the hello: {json}");
    let shown = format!("{:?}", Hello::parse(input));
    assert!(shown.len() <= 1024 + 2 * input.len(), "the debug output is unbounded");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"ver":2,"tnum":0,"id":"my-own-secret-id-12345","new":true,"ming":false,"maxia":0,"seenack":"|-1"}"#,
        r#"{"ver":2.0,"tnum":9007199254740992,"id":"my-own-secret-id-12345","ming":1,"maxia":10,"eeds":null,"seenack":"3,4|1"}"#,
        r#"{"ver":2e0,"tnum":1,"id":"my-own-secret-id-12345","ming":0,"maxia":6E2,"seenack":"|0\n","maxb":7,"pad":16384,"format":2}"#,
        r#"{"ver":2,"a":[{"b":[null,true,false,-1.5e-3,"\ud83d\ude00\u00e9\n"]}],"tnum":1,"id":"my-own-secret-id-12345","ming":true,"maxia":1,"seenack":"|0"}"#,
        r#"{"ver":NaN}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(example().to_json().into_bytes());
    seeds
}

/// A hello with every key.
pub(crate) fn example() -> Hello {
    Hello {
        tnum: TransportNumber(3),
        id: id(),
        new: true,
        ming: true,
        maxia: Duration::from_secs(20),
        beat: Duration::from_secs(25),
        seenack: Sack::up_to(7),
        sack: Some(Sack::from_numbers(None, [2])),
        eeds: Eeds::Number(TransportNumber(2)),
        maxt: Some(Duration::from_secs(60)),
        cred: Some("token \"é\" \\".to_owned()),
        why: Some("network changed".to_owned()),
    }
}

/// The stream id of all seeds.
pub(crate) fn id() -> StreamId {
    StreamId::parse("my-own-secret-id-12345").unwrap_or_else(|error| panic!("{error}"))
}
