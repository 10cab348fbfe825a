//! Checks of the parrots in all languages and on all stores.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use minerva_client::{Config as Connection, Message, TransportKind, Version};
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};

use crate::client::Client;
use crate::deployment::{Deployment, Store};
use crate::report::Report;
use crate::traffic::Traffic;

/// Messages of a burst, far above the capacity of an outbox.
const BURST: u64 = 5000;
/// Faults per check: of an app, and of a core, whose restart takes a second.
const FAULTS: (u32, u32) = (10, 5);
/// Answers between two faults, so many that all clients have messages in flight.
const ANSWERS_BETWEEN: u64 = 300;

/// Options of `parrot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Only these apps.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rust,python,typescript,go")]
    apps: Vec<App>,
    /// Only these stores.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "memory,redis")]
    stores: Vec<Store>,
    /// Version of the protocol of the clients: 3 adds a check of both kinds of messages.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=3))]
    max_version: u32,
    /// The source tree with examples/.
    #[arg(long, default_value = ".", value_name = "DIR")]
    tree: PathBuf,
    /// A Python with the package of sdk/python.
    #[arg(long, default_value = "target/apps/python/bin/python", value_name = "FILE")]
    python: PathBuf,
    /// The compiled examples/typescript/parrot.ts, with its packages.
    #[arg(long, default_value = "target/apps/typescript/build/parrot.js", value_name = "FILE")]
    typescript: PathBuf,
    /// The compiled sdk/go/examples/parrot.
    #[arg(long, default_value = "target/apps/go/parrot", value_name = "FILE")]
    go: PathBuf,
}

/// Implementations of the parrot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum App {
    /// `sdk/app/examples/parrot.rs`.
    Rust,
    /// `examples/python/parrot.py`.
    Python,
    /// `examples/typescript/parrot.ts`.
    Typescript,
    /// `sdk/go/examples/parrot`.
    Go,
}

/// Fault under traffic.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The app is killed and restarted.
    KillApp,
    /// The cores are killed and restarted in turn.
    KillCore,
    /// The app is terminated, must exit with success, and is restarted.
    StopApp,
}

/// Runs all checks.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for &store in &config.stores {
        for &app in &config.apps {
            run_app(&config, app, store, &mut report).await?;
        }
    }
    Ok(report)
}

async fn run_app(
    config: &Config,
    app: App,
    store: Store,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut deployment = Deployment::start_version(store, config.max_version).await?;
    let log = deployment.directory().join("app.log");
    let mut process = app.process(config, &deployment, log.clone())?;
    process.spawn()?;
    process.ready().await?;
    let failed = report.failed();
    let name = |check: &str| format!("{}, {}: {check}", app.name(), store.name());
    if config.max_version >= 3 {
        // First: the edge serves version 3 a few seconds after the start, and the other clients take what they get.
        for kind in TransportKind::ALL {
            let connection = Connection::new(deployment.clients.to_string(), kind);
            report.check(&name(&format!("kinds, {kind}")), kinds(connection)).await;
        }
    }
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let connection = || Connection::new(deployment.clients.to_string(), kind);
        report.check(&name(&format!("answers, {kind}")), answers(connection())).await;
        report.check(&name(&format!("refuses, {kind}")), refuses(connection())).await;
        report.check(&name(&format!("resets, {kind}")), resets(connection())).await;
        report.check(&name(&format!("a burst, {kind}")), bursts(connection())).await;
    }
    let mut faults = vec![("killed", Fault::KillApp), ("stopped", Fault::StopApp)];
    if store == Store::Redis {
        faults.push(("cores killed", Fault::KillCore));
    }
    for (text, fault) in faults {
        report.check(&name(text), under_traffic(&mut deployment, &mut process, fault)).await;
    }
    let refused = async { check_log(&log) };
    report.check(&name("no Send was refused"), refused).await;
    if report.failed() > failed {
        deployment.keep();
    }
    Ok(())
}

impl App {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
            Self::Go => "go",
        }
    }

    fn process(
        self,
        config: &Config,
        deployment: &Deployment,
        log: PathBuf,
    ) -> anyhow::Result<Process> {
        let (program, arguments) = match self {
            Self::Rust => (beside_this("examples/parrot")?, vec![]),
            Self::Python => {
                let script = config.tree.join("examples/python/parrot.py");
                (config.python.clone(), vec![script.into()])
            }
            Self::Typescript => ("node".into(), vec![config.typescript.clone().into()]),
            Self::Go => (config.go.clone(), vec![]),
        };
        let process = Process::new(self.name(), program, arguments, log).ready_when("serving");
        Ok(process.variable("MINERVA_API", &deployment.api).variable("MINERVA_INSTANCE", "parrot"))
    }
}

/// Messages are answered in order, each with the number of its event.
async fn answers(connection: Connection) -> anyhow::Result<()> {
    let mut client = Client::with(connection)?;
    for number in 0..100 {
        client.send(format!("message {number}")).await?;
    }
    for number in 0..100 {
        client.expect(&format!("{}:message {number}", number + 1)).await?;
    }
    client.end().await;
    Ok(())
}

/// Text outside of ASCII is answered with the number of its event, and binary messages by the same bytes.
async fn kinds(mut connection: Connection) -> anyhow::Result<()> {
    connection.version = Version::V3;
    let mut client = Client::with(connection)?;
    let texts = ["", "h\u{e9}\0\n", "\u{feff}\u{1f980}"].map(String::from);
    let binaries = [vec![], vec![0xed, 0xa0, 0x80], vec![7; 1_000_000]].map(Message::from);
    let mut event = 0;
    for (text, binary) in texts.into_iter().zip(binaries) {
        let answer = Message::from(format!("{}:{text}", event + 1));
        client.send_message(text.into()).await?;
        client.send_message(binary.clone()).await?;
        client.expect_message(&answer).await?;
        client.expect_message(&binary).await?;
        event += 2;
    }
    client.end().await;
    Ok(())
}

/// A refused stream ends at once, with the reason.
async fn refuses(mut connection: Connection) -> anyhow::Result<()> {
    connection.credentials = Some("refuse:not today".to_owned());
    Client::with(connection)?.expect_end("not today").await
}

/// A stream is reset at the request of its client, with the reason.
async fn resets(connection: Connection) -> anyhow::Result<()> {
    let mut client = Client::with(connection)?;
    client.send("before").await?;
    client.expect("1:before").await?;
    client.send("reset:that is enough").await?;
    client.expect_end("that is enough").await
}

/// A burst to a slow client arrives complete and in order, then the answer to a message sent meanwhile. The client
/// acknowledges only consumed messages, so the app must wait repeatedly.
async fn bursts(mut connection: Connection) -> anyhow::Result<()> {
    (connection.max_received_messages, connection.max_unacknowledged_messages) = (20, 2000);
    let mut client = Client::with(connection)?;
    for (asked, count) in [(1, BURST), (3, 0), (5, 1)] {
        client.send(format!("burst:{count}")).await?;
        client.send("after").await?;
        for number in 0..count {
            client.expect(&number.to_string()).await?;
        }
        client.expect(&format!("{}:after", asked + 1)).await?;
    }
    client.end().await;
    Ok(())
}

/// Clients receive each answer once and in order during faults.
async fn under_traffic(
    deployment: &mut Deployment,
    app: &mut Process,
    fault: Fault,
) -> anyhow::Result<()> {
    let mut traffic =
        Traffic::start(deployment.clients, |event, message| format!("{event}:{message}"))?;
    let faults = match fault {
        Fault::KillApp | Fault::StopApp => FAULTS.0,
        Fault::KillCore => FAULTS.1,
    };
    let cores = deployment.cores.len();
    for number in 0..faults {
        traffic.progress(ANSWERS_BETWEEN).await?;
        let victim = match fault {
            Fault::KillApp | Fault::StopApp => &mut *app,
            Fault::KillCore => &mut deployment.cores[number as usize % cores],
        };
        match fault {
            Fault::KillApp | Fault::KillCore => victim.kill().await?,
            Fault::StopApp => {
                victim.signal(Signal::TERM)?;
                let status = victim.wait().await?;
                ensure!(status.success(), "exit status {status} after SIGTERM");
            }
        }
        victim.spawn()?;
    }
    traffic.progress(ANSWERS_BETWEEN).await?;
    traffic.finish().await?;
    app.check()
}

/// Checks that the log of the app contains no refused Send.
fn check_log(log: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log).context("cannot read the app's log")?;
    let refused = text.lines().find(|line| line.contains("a Send was refused"));
    ensure!(refused.is_none(), "{refused:?}");
    Ok(())
}
