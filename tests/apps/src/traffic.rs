//! Strings on several streams at once, while something is done to the processes; every answer is compared.

use std::net::SocketAddr;

use anyhow::Context as _;
use minerva_client::TransportKind;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Client;

/// Streams, half of them over each transport.
const STREAMS: usize = 4;
/// Strings that a client has under way at once.
const TOGETHER: u64 = 20;

/// What an app answers to the string of an event.
pub(crate) type Answer = fn(event: u64, string: &str) -> String;

/// Clients that talk until they are told to stop.
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
            clients.spawn(talk(client, number, answer, counter.clone(), stopped.clone()));
        }
        Ok(Self { clients, answered, stop })
    }

    /// Waits until there are so many more answers; an error if a client fails before.
    pub(crate) async fn progress(&mut self, more: u64) -> anyhow::Result<()> {
        let goal = *self.answered.borrow() + more;
        tokio::select! {
            reached = self.answered.wait_for(|answered| *answered >= goal) => {
                reached.map(drop).context("all clients are gone")
            }
            failure = failure(&mut self.clients) => Err(failure),
        }
    }

    /// Waits until a client fails, which none should.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        failure(&mut self.clients).await
    }

    /// Stops the clients when they have all answers; gives what each sent.
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
        Some(Ok(Ok(_))) | None => anyhow::anyhow!("a client stopped by itself"),
    }
}

async fn talk(
    mut client: Client,
    number: usize,
    answer: Answer,
    counter: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    while !*stopped.borrow() {
        for _ in 0..TOGETHER {
            let string = format!("client {number} string {:06}", all.len());
            client.ask(string.as_str()).await?;
            all.push(string);
        }
        let first = all.len() - TOGETHER as usize;
        for (event, string) in (1..).zip(&all).skip(first) {
            client.expect(&answer(event, string)).await?;
            counter.send_modify(|answered| *answered += 1);
        }
    }
    // What came twice would be here, before its answer.
    let event = client.ask("last").await?;
    client.expect(&answer(event, "last")).await?;
    all.push("last".to_owned());
    client.end().await;
    Ok(all)
}
