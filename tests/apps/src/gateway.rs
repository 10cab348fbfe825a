//! Checks of the TCP gateway (`sdk/app/examples/gateway`) in front of a Redis: intact bytes in both directions,
//! back-pressure, and the reasons of ends.

mod ends;
mod fixture;
mod relay;
mod tunnel;

use minerva_client::TransportKind;
use minerva_faults::random::Random;

use self::fixture::Fixture;
use crate::deployment::Store;
use crate::report::Report;

/// Options of `gateway`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Store of the cores.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Seed of the sent bytes [default: random].
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs all checks.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("gateway: --seed {seed}");
    let mut fixture = Fixture::start(config.store, seed).await?;
    let mut report = Report::default();
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let name = |check: &str| format!("{check}, {kind}");
        report.check(&name("PING"), relay::answers(&fixture, kind)).await;
        report.check(&name("2 MB each way"), relay::pipeline(&fixture, kind)).await;
        report
            .check(&name("a client that does not read"), relay::slow_client(&fixture, kind))
            .await;
        report.check(&name("the client ends"), ends::by_client(&fixture, kind)).await;
        report.check(&name("an invalid segment"), ends::by_invalid(&fixture, kind)).await;
        report.check(&name("the backend closes"), ends::by_backend(&fixture, kind)).await;
    }
    report.check("a backend that does not read", relay::slow_backend(&fixture)).await;
    report.check("a backend that does not accept", ends::by_silence(&fixture)).await;
    report.check("the limit of one connection", ends::by_limit(&fixture)).await;
    report.check("the backend is killed", ends::by_killed_backend(&mut fixture)).await;
    report.check("the gateway is killed", ends::by_killed_gateway(&mut fixture)).await;
    report.check("the gateway is stopped", ends::by_stop(&mut fixture)).await;
    report.check("wrong options", ends::by_options(&fixture)).await;
    if config.store == Store::Redis {
        report.check("2 MB each way, cores killed", relay::killed_cores(&mut fixture)).await;
    }
    if report.failed() > 0 {
        fixture.deployment.keep();
    }
    Ok(report)
}
