//! What a parrot must do, in whatever language it is written, on whatever store the core is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use minerva_client::{Config as Connection, TransportKind};
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};

use crate::client::Client;
use crate::report::Report;
use crate::stage::{Stage, Store};
use crate::traffic::Traffic;

/// Strings of a burst: far more than an outbox holds.
const BURST: u64 = 5000;
/// How often an app, or a core, is harmed in one check. A core needs a second to come back.
const HARMS: (u32, u32) = (10, 5);
/// Answers between: so many that all clients have strings under way.
const BETWEEN: u64 = 300;

/// Options of `parrot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Only these apps.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rust,python,typescript")]
    apps: Vec<App>,
    /// Only these stores.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "memory,redis")]
    stores: Vec<Store>,
    /// The source tree, which has examples/ and proto/.
    #[arg(long, default_value = ".", value_name = "DIR")]
    tree: PathBuf,
    /// A Python that has what examples/python/requirements.txt names.
    #[arg(long, default_value = "target/apps/python/bin/python", value_name = "FILE")]
    python: PathBuf,
    /// examples/typescript/parrot.ts, compiled, with its packages around it.
    #[arg(long, default_value = "target/apps/typescript/build/parrot.js", value_name = "FILE")]
    typescript: PathBuf,
}

/// A parrot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum App {
    /// `sdk/app/examples/parrot.rs`.
    Rust,
    /// `examples/python/parrot.py`.
    Python,
    /// `examples/typescript/parrot.ts`.
    Typescript,
}

/// What is done to processes under traffic.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// The app is killed and started again.
    KillApp,
    /// One core after the other likewise.
    KillCore,
    /// The app is asked to end, which it must with success, and started again.
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
    let mut stage = Stage::start(store).await?;
    let log = stage.directory().join("app.log");
    let mut process = app.process(config, &stage, log.clone())?;
    process.spawn()?;
    process.ready().await?;
    let failed = report.failed();
    let name = |what: &str| format!("{}, {}: {what}", app.name(), store.name());
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let connection = || Connection::new(stage.clients.to_string(), kind);
        report.check(&name(&format!("answers, {kind}")), answers(connection())).await;
        report.check(&name(&format!("refuses, {kind}")), refuses(connection())).await;
        report.check(&name(&format!("resets, {kind}")), resets(connection())).await;
        report.check(&name(&format!("a burst, {kind}")), bursts(connection())).await;
    }
    let mut harms = vec![("killed", Harm::KillApp), ("stopped", Harm::StopApp)];
    if store == Store::Redis {
        harms.push(("cores killed", Harm::KillCore));
    }
    for (what, harm) in harms {
        report.check(&name(what), under_traffic(&mut stage, &mut process, harm)).await;
    }
    let refused = async { check_log(&log) };
    report.check(&name("no Send was refused"), refused).await;
    if report.failed() > failed {
        stage.keep();
    }
    Ok(())
}

impl App {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Typescript => "typescript",
        }
    }

    fn process(self, config: &Config, stage: &Stage, log: PathBuf) -> anyhow::Result<Process> {
        let (program, arguments) = match self {
            Self::Rust => (beside_this("examples/parrot")?, vec![]),
            Self::Python => {
                let script = config.tree.join("examples/python/parrot.py");
                (config.python.clone(), vec![script.into()])
            }
            Self::Typescript => ("node".into(), vec![config.typescript.clone().into()]),
        };
        let protos = config.tree.join("proto").canonicalize().context("no proto/: see --tree")?;
        let process = Process::new(self.name(), program, arguments, log).ready_when("serving");
        Ok(process
            .variable("MINERVA_API", &stage.api)
            .variable("MINERVA_INSTANCE", "parrot")
            .variable("MINERVA_PROTO", protos))
    }
}

/// Strings are answered in order, each with its event's number.
async fn answers(connection: Connection) -> anyhow::Result<()> {
    let mut client = Client::with(connection)?;
    for number in 0..100 {
        client.ask(format!("string {number}")).await?;
    }
    for number in 0..100 {
        client.expect(&format!("{}:string {number}", number + 1)).await?;
    }
    client.end().await;
    Ok(())
}

/// A stream that is not welcome ends at once, with the reason.
async fn refuses(mut connection: Connection) -> anyhow::Result<()> {
    connection.credentials = Some("refuse:not today".to_owned());
    Client::with(connection)?.expect_end("not today").await
}

/// A stream is reset when its client asks for that, with the reason.
async fn resets(connection: Connection) -> anyhow::Result<()> {
    let mut client = Client::with(connection)?;
    client.ask("before").await?;
    client.expect("1:before").await?;
    client.ask("reset:that is enough").await?;
    client.expect_end("that is enough").await
}

/// Many strings to a client that takes few at a time: all must come, in order, and then the answer to what was sent
/// meanwhile. What it does not take it does not acknowledge, so the app has to wait for it again and again.
async fn bursts(mut connection: Connection) -> anyhow::Result<()> {
    (connection.max_received_messages, connection.max_unacknowledged_messages) = (20, 2000);
    let mut client = Client::with(connection)?;
    for (asked, count) in [(1, BURST), (3, 0), (5, 1)] {
        client.ask(format!("burst:{count}")).await?;
        client.ask("after").await?;
        for number in 0..count {
            client.expect(&number.to_string()).await?;
        }
        client.expect(&format!("{}:after", asked + 1)).await?;
    }
    client.end().await;
    Ok(())
}

/// Clients get each answer once and in order, whatever is done to a process meanwhile.
async fn under_traffic(stage: &mut Stage, app: &mut Process, harm: Harm) -> anyhow::Result<()> {
    let mut traffic = Traffic::start(stage.clients, |event, string| format!("{event}:{string}"))?;
    let harms = match harm {
        Harm::KillApp | Harm::StopApp => HARMS.0,
        Harm::KillCore => HARMS.1,
    };
    let cores = stage.cores.len();
    for number in 0..harms {
        traffic.progress(BETWEEN).await?;
        let victim = match harm {
            Harm::KillApp | Harm::StopApp => &mut *app,
            Harm::KillCore => &mut stage.cores[number as usize % cores],
        };
        match harm {
            Harm::KillApp | Harm::KillCore => victim.kill().await?,
            Harm::StopApp => {
                victim.signal(Signal::TERM)?;
                let status = victim.wait().await?;
                ensure!(status.success(), "asked to end, it ended with {status}");
            }
        }
        victim.spawn()?;
    }
    traffic.progress(BETWEEN).await?;
    traffic.finish().await?;
    app.check()
}

/// The app says nothing of a Send that was refused for want of room, or out of order.
fn check_log(log: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log).context("cannot read the app's log")?;
    let refused = text.lines().find(|line| line.contains("a Send was refused"));
    ensure!(refused.is_none(), "{refused:?}");
    Ok(())
}
