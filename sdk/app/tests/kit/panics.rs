//! The panics of the kit and their texts.

use std::time::Duration;

use minerva_app::testing::{Client, Kit};

use crate::stream;

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a message for the client: not within 60s")]
async fn a_client_that_receives_nothing_times_out() {
    let (_kit, _service, client, _stream) = stream().await;
    client.recv().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a call of the app: not within 1s")]
async fn losing_a_call_without_an_app_times_out() {
    Kit::new().timeout(Duration::from_secs(1)).lose_call().await;
}

#[tokio::test]
#[should_panic(expected = "a client's message needs Client::accepts: other text at byte 0")]
async fn a_message_with_a_forbidden_byte_panics() {
    Kit::new().connect(Client::new()).send("\n").await;
}

#[tokio::test]
async fn a_message_of_maximal_length_is_accepted() {
    let client = Kit::new().max_message_bytes(5).connect(Client::new());
    client.send("1234").await;
    client.send("12345").await;
    assert_eq!(client.unacknowledged(), 2);
}

#[tokio::test]
#[should_panic(expected = "a client's message is at most 5 bytes long")]
async fn a_too_long_message_panics() {
    Kit::new().max_message_bytes(5).connect(Client::new()).send("123456").await;
}

#[tokio::test]
#[should_panic(expected = "a reason is at most 255 bytes")]
async fn a_too_long_reason_panics() {
    Kit::new().connect(Client::new()).reset("x".repeat(256));
}

#[tokio::test]
#[should_panic(expected = "Client::id: a stream id has 20 to 30 characters")]
async fn an_invalid_stream_id_panics() {
    Kit::new().connect(Client::new().id("short"));
}

#[tokio::test]
#[should_panic(expected = "use Kit::restart_app")]
async fn a_second_service_panics() {
    let mut kit = Kit::new();
    let _service = kit.service("default");
    let _second = kit.service("default");
}

#[tokio::test]
#[should_panic(expected = "use Kit::service")]
async fn restarting_without_an_app_panics() {
    let _service = Kit::new().restart_app();
}

#[tokio::test]
#[should_panic(expected = "`Chat` cannot name a service")]
async fn an_invalid_service_name_panics() {
    let _service = Kit::new().service("Chat");
}
