//! The running program `minerva` with its own data directory and free ports, and an echo service of the SDK.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use minerva_app::{AppStream, SendError, Sender, Service};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The running program; killed at the drop.
pub(crate) struct Program {
    /// Address for clients.
    pub(crate) clients: SocketAddr,
    api: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Program {
    /// Starts the program with version 3 and waits for its line of readiness.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_minerva"))
            .args(["--max-version", "3", "--demo", "off"])
            .args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let after = |text: &str| {
            let rest = line.split_once(text).unwrap_or_else(|| panic!("{line}")).1;
            let end = rest.find(['/', ',']).unwrap();
            rest[..end].parse().unwrap_or_else(|_| panic!("{line}"))
        };
        let (clients, api) = (after("clients on http://"), after("app services: "));
        Self { clients, api, child, _directory: directory }
    }

    /// Address for application services.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Starts the echo service.
    pub(crate) async fn echo(&self) -> Echo {
        let mut service = Service::connect(self.api.to_string()).start().await.unwrap();
        let (served, senders) = mpsc::channel(100);
        let accepting = tokio::spawn(async move {
            while let Some(stream) = service.accept().await {
                let _ = served.try_send(stream.sender());
                tokio::spawn(echo(stream));
            }
        });
        Echo { accepting: accepting.abort_handle(), senders }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn echo(mut stream: AppStream) -> Result<(), SendError> {
    while let Some(message) = stream.recv().await {
        stream.send(message).await?;
    }
    Ok(())
}

/// A service that returns each message; stopped at the drop.
pub(crate) struct Echo {
    accepting: AbortHandle,
    senders: mpsc::Receiver<Sender>,
}

impl Echo {
    /// The sender of the next served stream.
    pub(crate) async fn served(&mut self) -> Sender {
        self.senders.recv().await.unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
