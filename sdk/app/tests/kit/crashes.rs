//! Lost calls and crashes as seen by app and clients: no loss and no duplicates.

use futures_util::FutureExt;
use minerva_app::testing::{Client, ClientStream, Kit};
use minerva_app::{Event, EventNumber, SendError};

use crate::{echo, stream};

#[tokio::test(start_paused = true)]
async fn lost_calls_are_transparent() {
    echo_over_lost_calls(500, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_calls_are_transparent_with_several_threads() {
    echo_over_lost_calls(100, 9).await;
}

/// Sends messages to an echo and receives them. The call is lost after each `step` messages, at a later point
/// of the exchange each time.
async fn echo_over_lost_calls(messages: u32, step: u32) {
    // Small queues, so that not all messages are in flight at once.
    let mut kit = Kit::new().inbox(1000, 4).outbox(1000, 4);
    tokio::spawn(kit.service("default").run(echo));
    let client = kit.connect(Client::new());
    let receiving = async {
        for number in 0..messages {
            assert_eq!(client.recv().await.unwrap(), number.to_string());
            if number.is_multiple_of(step) {
                steps(number / step % 16).await;
                kit.lose_call().await;
            }
        }
    };
    tokio::join!(send(&client, messages), receiving);
    client.wait_acknowledged().await;
    assert_eq!(client.try_recv(), None);
}

/// Sends numbers from 0 and yields in between.
async fn send(client: &ClientStream, count: u32) {
    for number in 0..count {
        client.send(number.to_string()).await;
        tokio::task::yield_now().await;
    }
}

async fn steps(count: u32) {
    for _step in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn crashes_lose_no_answer() {
    let mut kit = Kit::new().inbox(1000, 4).outbox(1000, 4);
    tokio::spawn(kit.service("default").run(echo));
    let client = kit.connect(Client::new());
    let receiving = async {
        let mut next = 0;
        while next < 200 {
            let number: u32 = client.recv().await.unwrap().as_text().unwrap().parse().unwrap();
            // The answer to an unacknowledged message may be repeated.
            assert!(number <= next, "{number} instead of {next}");
            next = next.max(number + 1);
            if number.is_multiple_of(3) {
                steps(number / 3 % 16).await;
                tokio::spawn(kit.restart_app().run(echo));
            }
        }
    };
    tokio::join!(send(&client, 200), receiving);
    client.wait_acknowledged().await;
}

#[tokio::test]
async fn a_lost_call_keeps_the_handles() {
    let (kit, mut service, client, mut stream) = stream().await;
    client.send("a").await;
    assert_eq!(stream.recv().await.unwrap(), "a");
    kit.lose_call().await;
    stream.send("x").await.unwrap();
    client.send("b").await;
    assert_eq!(stream.recv().await.unwrap(), "b");
    assert_eq!(client.recv().await.unwrap(), "x");
    stream.durable().await.unwrap();
    assert!(service.accept().now_or_never().is_none());
}

#[tokio::test]
async fn an_acknowledged_end_is_not_repeated() {
    let (kit, mut service, client, mut stream) = stream().await;
    client.reset("bye");
    assert_eq!(stream.recv().await, None);
    kit.lose_call().await;
    drop(stream);
    client.wait_acknowledged().await;
    kit.lose_call().await;
    let other = kit.connect(Client::new());
    assert_eq!(service.accept().await.unwrap().number(), other.number());
    assert!(service.accept().now_or_never().is_none());
}

#[tokio::test]
async fn a_restarted_app_gets_unacknowledged_events() {
    let (mut kit, mut service, client, mut stream) = stream().await;
    for message in ["a", "b", "c"] {
        client.send(message).await;
    }
    assert_eq!(stream.recv().await.unwrap(), "a");
    assert_eq!(stream.recv().await.unwrap(), "b");
    stream.send("x").await.unwrap();
    stream.durable().await.unwrap();
    assert_eq!(client.unacknowledged(), 2);

    kit.crash_app();
    assert_eq!(stream.next_event().await, Some(Event::Released));
    assert_eq!(stream.send("y").await, Err(SendError::Over));
    assert!(service.accept().await.is_none());
    stream.acknowledge(2);
    drop((service, stream));
    client.send("d").await;
    assert_eq!(client.unacknowledged(), 3);

    let mut service = kit.restart_app();
    let mut stream = service.accept().await.unwrap();
    assert!(stream.is_resumed());
    assert_eq!((stream.first_event().0, stream.first_send().0), (2, 1));
    for message in ["b", "c", "d"] {
        assert_eq!(stream.recv().await.unwrap(), message);
    }
    stream.send("y").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), "x");
    assert_eq!(client.recv().await.unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn crashes_lose_no_event() {
    let mut kit = Kit::new();
    let client = kit.connect(Client::new());
    // The state that an app stores with the effects: the last handled event.
    let (mut last_handled, mut seen) = (EventNumber(0), Vec::new());
    let mut service = kit.service("default");
    for number in 0..100_u32 {
        client.send(number.to_string()).await;
        let mut stream = service.accept().await.unwrap();
        assert_eq!(stream.is_resumed(), number > 0);
        // Some starts reach an acknowledgement, some do not.
        for _message in 0..number % 3 {
            let Some(Event::Message { event, message, .. }) = stream.next_event().await else {
                break;
            };
            if event > last_handled {
                last_handled = event;
                seen.push(message);
            }
            if client.unacknowledged() == 0 {
                break;
            }
        }
        service = kit.restart_app();
    }
    let mut stream = service.accept().await.unwrap();
    while last_handled.0 < 100 {
        let Some(Event::Message { event, message, .. }) = stream.next_event().await else {
            panic!()
        };
        if event > last_handled {
            assert_eq!(event, last_handled + 1);
            last_handled = event;
            seen.push(message);
        }
    }
    let all: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_stopped_app_may_be_started_again() {
    let (mut kit, service, client, stream) = stream().await;
    let task = tokio::spawn(echo(stream));
    client.send("a").await;
    assert_eq!(client.recv().await.unwrap(), "a");
    service.stop().await;
    task.await.unwrap().unwrap();
    assert_eq!(client.ended(), None);
    client.send("b").await;
    tokio::spawn(kit.restart_app().run(echo));
    assert_eq!(client.recv().await.unwrap(), "b");
}
