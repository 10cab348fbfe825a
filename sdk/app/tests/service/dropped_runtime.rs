//! Handles of a service whose runtime is dropped: each call returns.

use std::time::Duration;

use minerva_app::qan::{Handler, HandlerError, Peer, Qan, QuestionError};
use minerva_app::{GroupError, Message, SendError, Service};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::fake_core::FakeCore;

const DEADLINE: Duration = Duration::from_secs(10);

struct Silent;

impl Handler for Silent {
    async fn question(&self, _peer: &Peer, body: Message) -> Result<Message, HandlerError> {
        Ok(body)
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn calls_of_handles_return_when_the_runtime_of_the_service_is_dropped() {
    let mut core = FakeCore::start().await;
    let inner = runtime();
    let start = inner.spawn(Service::connect(&core.address).start());
    let (call, _) = core.registered().await;
    let mut service = start.await.unwrap().unwrap();
    for number in [1, 2] {
        call.start(number).await;
    }
    let mut stream = service.accept().await.unwrap();
    let sender = stream.sender();
    let qan = Qan::new(service.accept().await.unwrap());
    let peer = qan.peer();
    stream.send("never durable").await.unwrap();

    let pending = tokio::spawn(async move {
        let asked = peer.ask("never answered");
        let joined = sender.join("room");
        let durable = sender.durable();
        timeout(DEADLINE, async { tokio::join!(asked, joined, durable, stream.recv()) }).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!pending.is_finished());
    inner.shutdown_background();
    let (asked, joined, durable, received) = pending.await.unwrap().expect("all calls return");
    assert_eq!((asked, joined), (Err(QuestionError::Over), Err(GroupError::Over)));
    assert_eq!((durable, received), (Err(SendError::Over), None));

    assert_eq!(timeout(DEADLINE, qan.serve(Silent)).await.unwrap(), None);
    assert!(timeout(DEADLINE, service.accept()).await.unwrap().is_none());
    timeout(DEADLINE, service.stop()).await.unwrap();
}
