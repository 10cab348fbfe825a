//! The chat, as its clients see it.

use minerva_proto::app::{SendState, Started, command, event};
use serde_json::{Value, json};

use crate::fake_core::{Call, FakeCore, started};
use crate::{room, service};

/// The chat with `streams` new streams, numbered from 1.
async fn chat(streams: u64) -> (FakeCore, Call) {
    let (core, call, service) = service().await;
    tokio::spawn(room::serve(service));
    for stream in 1..=streams {
        call.start(stream).await;
    }
    (core, call)
}

/// Says something to the chat on a stream.
async fn say(call: &Call, stream: u64, event: u64, message: &Value) {
    let string: &'static str = message.to_string().leak();
    call.strings(stream, event, &[string]).await;
}

/// The next strings, with the stream that each is for; without the times. Confirms nothing: the room given at
/// the start is all there is.
async fn heard(call: &mut Call, count: usize) -> Vec<(u64, Value)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let command::Command::Send(send) = call.command().await else { continue };
        for string in send.strings {
            assert!(minerva_proto::is_string_allowed(&string));
            let mut message: Value = serde_json::from_slice(&string).unwrap();
            message.as_object_mut().unwrap().remove("at");
            heard.push((send.stream, message));
        }
    }
    assert_eq!(heard.len(), count);
    heard.sort_by_key(|(stream, _)| *stream);
    heard
}

fn join(name: &str) -> Value {
    json!({"t": "join", "room": "lobby", "name": name})
}

#[tokio::test]
async fn people_meet_talk_and_leave() {
    let (_core, mut call) = chat(2).await;
    say(&call, 1, 1, &join("Ann")).await;
    let history = json!({"t": "history", "room": "lobby", "name": "Ann", "lines": []});
    let names = json!({"t": "names", "room": "lobby", "names": ["Ann"]});
    assert_eq!(heard(&mut call, 2).await, [(1, history), (1, names)]);

    say(&call, 1, 2, &json!({"t": "say", "text": " h\u{e9} \u{1f600}\u{7f}"})).await;
    let error = json!({"t": "error", "message": "a line is 1 to 1000 characters"});
    assert_eq!(heard(&mut call, 1).await, [(1, error)]);
    say(&call, 1, 3, &json!({"t": "say", "text": " h\u{e9} \u{1f600} "})).await;
    let said = json!({"t": "said", "room": "lobby", "name": "Ann", "text": "h\u{e9} \u{1f600}"});
    assert_eq!(heard(&mut call, 1).await, [(1, said)]);

    say(&call, 2, 1, &join("Ann")).await;
    let heard_now = heard(&mut call, 3).await;
    assert_eq!(heard_now[0], (1, json!({"t": "joined", "room": "lobby", "name": "Ann-2"})));
    assert_eq!(heard_now[1].1["name"], "Ann-2");
    assert_eq!(heard_now[1].1["lines"][0]["text"], "h\u{e9} \u{1f600}");
    assert_eq!(heard_now[2].1["names"], json!(["Ann", "Ann-2"]));

    call.end(2, 2).await;
    let left = json!({"t": "left", "room": "lobby", "name": "Ann-2"});
    assert_eq!(heard(&mut call, 1).await, [(1, left)]);
}

#[tokio::test]
async fn wrong_messages_are_explained() {
    let (_core, mut call) = chat(1).await;
    let messages = [
        json!("text"),
        json!({"t": "nonsense"}),
        json!({"t": "say", "text": "too early"}),
        json!({"t": "join", "room": "Lobby", "name": "Ann"}),
        json!({"t": "join", "room": "lobby", "name": " "}),
        json!({"t": "join", "room": "lobby", "name": "x".repeat(25)}),
        json!({"t": "ping", "n": "5"}),
    ];
    for (event, message) in (1..).zip(&messages) {
        say(&call, 1, event, message).await;
        assert_eq!(heard(&mut call, 1).await[0].1["t"], "error", "{message}");
    }
    say(&call, 1, 8, &json!({"t": "ping", "n": 5})).await;
    assert_eq!(heard(&mut call, 1).await, [(1, json!({"t": "pong", "n": 5}))]);
}

#[tokio::test]
async fn history_is_bounded() {
    let (_core, mut call) = chat(2).await;
    say(&call, 1, 1, &join("Ann")).await;
    heard(&mut call, 2).await;
    for number in 1..=51 {
        say(&call, 1, number + 1, &json!({"t": "say", "text": number.to_string()})).await;
    }
    heard(&mut call, 51).await;
    say(&call, 2, 1, &join("Bob")).await;
    let heard = heard(&mut call, 3).await;
    let lines = heard[1].1["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["text"]), (50, &json!("2")));
}

#[tokio::test]
async fn a_slow_member_is_told_what_it_missed() {
    let (_core, mut call) = chat(1).await;
    let room = |next_send, strings_left, paused| SendState {
        stream: 2,
        next_send,
        bytes_left: 10_000,
        strings_left,
        paused,
    };
    // History, names, and one line more.
    let slow = Started { send_state: Some(room(0, 3, false)), ..started(2) };
    call.say(event::Event::Started(slow)).await;
    say(&call, 2, 1, &join("Bob")).await;
    heard(&mut call, 2).await;
    say(&call, 1, 1, &join("Ann")).await;
    heard(&mut call, 3).await;
    for event in 2..=4 {
        say(&call, 1, event, &json!({"t": "say", "text": "x"})).await;
        let others = heard(&mut call, 1).await;
        assert_eq!(others[0].0, 1);
    }
    call.say(event::Event::SendState(room(3, 10, false))).await;
    let told = heard(&mut call, 2).await;
    assert_eq!(told[0], (2, json!({"t": "missed", "count": 3})));
    assert_eq!(told[1].1["names"], json!(["Ann", "Bob"]));
}

#[tokio::test]
async fn after_a_restart_clients_are_asked_to_join_again() {
    let (_core, mut call) = chat(0).await;
    let resumed = Started { resumed: true, next_event: 3, ..started(1) };
    call.say(event::Event::Started(resumed)).await;
    assert_eq!(heard(&mut call, 1).await, [(1, json!({"t": "rejoin"}))]);
}
