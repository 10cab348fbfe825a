//! Traffic on several streams during faults; every answer is compared.

use std::net::SocketAddr;

use anyhow::Context as _;
use minerva_client::TransportKind;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Client;

/// Number of streams, half of them over each transport.
const STREAMS: usize = 4;
/// Messages in flight per client.
const IN_FLIGHT: u64 = 20;

/// The answer of an app to a message.
pub(crate) type Answer = fn(event: u64, message: &str) -> String;

/// Clients that send until they are stopped.
pub(crate) struct Traffic {
    clients: JoinSet<anyhow::Result<Vec<String>>>,
    answered: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
}

impl Traffic {
    /// Starts the clients.
    pub(crate) fn start(address: SocketAddr, answer: Answer) -> anyhow::Result<Self> {
        let (counter, answered) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..STREAMS {
            let transport = [TransportKind::WebSocket, TransportKind::Tcp][number % 2];
            let client = Client::connect(address, transport)?;
            clients.spawn(run_client(client, number, answer, counter.clone(), stopped.clone()));
        }
        Ok(Self { clients, answered, stop })
    }

    /// Waits for a number of further answers; fails if a client fails.
    pub(crate) async fn progress(&mut self, more: u64) -> anyhow::Result<()> {
        let goal = *self.answered.borrow() + more;
        tokio::select! {
            reached = self.answered.wait_for(|answered| *answered >= goal) => {
                reached.map(drop).context("all clients have ended")
            }
            failure = failure(&mut self.clients) => Err(failure),
        }
    }

    /// Waits until a client fails.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        failure(&mut self.clients).await
    }

    /// Stops the clients after their last answers. Returns the sent messages of each client, sorted.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Vec<Vec<String>>> {
        self.stop.send_replace(true);
        let mut sent = Vec::new();
        while let Some(over) = self.clients.join_next().await {
            sent.push(over?.context("a client")?);
        }
        sent.sort();
        Ok(sent)
    }
}

async fn failure(clients: &mut JoinSet<anyhow::Result<Vec<String>>>) -> anyhow::Error {
    match clients.join_next().await {
        Some(Ok(Err(error))) => error.context("a client"),
        Some(Err(error)) => anyhow::Error::new(error).context("a client"),
        Some(Ok(Ok(_))) | None => anyhow::anyhow!("a client has ended early"),
    }
}

async fn run_client(
    mut client: Client,
    number: usize,
    answer: Answer,
    counter: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    while !*stopped.borrow() {
        for _ in 0..IN_FLIGHT {
            let message = format!("client {number} message {:06}", all.len());
            client.send(message.as_str()).await?;
            all.push(message);
        }
        let first = all.len() - IN_FLIGHT as usize;
        for (event, message) in (1..).zip(&all).skip(first) {
            client.expect(&answer(event, message)).await?;
            counter.send_modify(|answered| *answered += 1);
        }
    }
    // A duplicate would arrive before this answer.
    let event = client.send("last").await?;
    client.expect(&answer(event, "last")).await?;
    all.push("last".to_owned());
    client.end().await;
    Ok(all)
}
