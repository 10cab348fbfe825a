//! The program `minerva-edge`: options, the admin port, signals, around one [`minerva_edge::Edge`].

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use http::uri::{Scheme, Uri};
use minerva_edge::{Config, Edge, LinkState, Metrics, Pages};
use minerva_proto::process::{
    Admin, ConfigError, LogConfig, Readiness, StopSignals, address, program,
};
use prometheus_client::registry::Registry;
use tonic::transport::{Channel, Endpoint};

/// Minerva's edge: clients connect here over WebSocket, HTTP or TCP; their streams live in a core.
#[derive(Debug, Parser)]
#[command(name = "minerva-edge", version)]
struct Options {
    #[command(flatten)]
    edge: Config,

    /// The core's link port (its --link).
    #[arg(
        long,
        help_heading = "Core",
        env = "MINERVA_CORE",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:7403"
    )]
    core: Vec<String>,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, help_heading = "Operation", env = "MINERVA_ADMIN", value_name = "ADDR",
        default_value = "127.0.0.1:7402", value_parser = address)]
    admin: SocketAddr,

    #[command(flatten, next_help_heading = "Operation")]
    log: LogConfig,
}

fn main() -> ExitCode {
    program("minerva-edge", run, |error: &anyhow::Error| error.is::<ConfigError>())
}

async fn run(options: Options) -> anyhow::Result<()> {
    options.log.start()?;
    let mut signals = StopSignals::listen().context("cannot listen for signals")?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let channel = channel(&options.core)?;
    let readiness = Readiness::starting();
    let admin = Admin::bind(options.admin)
        .await
        .map_err(|error| ConfigError::cannot_listen("--admin", options.admin, &error))?;
    let admin_addr = admin.local_addr()?;
    let edge = Edge::bind(options.edge, channel, Pages::new(), Some(metrics)).await?;
    tokio::spawn(admin.serve(readiness.clone(), registry));
    let clients = edge.local_addr();
    let following = tokio::spawn(follow(edge.link_state(), readiness.clone(), move || {
        println!("minerva-edge: ready, clients on http://{clients}, admin on http://{admin_addr}");
    }));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = std::pin::pin!(edge.run(async {
        let _ = stopped.await;
    }));
    tokio::select! {
        () = signals.next() => {}
        () = &mut running => return Ok(()),
    }
    following.abort();
    readiness.set_unready("draining");
    drop(stop);
    tokio::select! {
        () = signals.next() => tracing::info!("second signal: stopping at once"),
        () = running => tracing::info!("drained"),
    }
    Ok(())
}

/// Tells whether the edge can do its work, and once, that it can.
async fn follow(mut link: LinkState, readiness: Readiness, ready: impl FnOnce() + Send) {
    let mut ready = Some(ready);
    loop {
        if link.is_up() {
            readiness.set_ready();
            if let Some(ready) = ready.take() {
                ready();
            }
        } else {
            readiness.set_unready("no link to the core");
        }
        link.changed().await;
    }
}

fn channel(cores: &[String]) -> Result<Channel, ConfigError> {
    let wrong = |problem: String| {
        let fix = "give the core's --link address with its port, such as 127.0.0.1:7403";
        ConfigError::new("--core", problem, fix)
    };
    let [core] = cores else {
        return Err(wrong("several cores are not supported yet".to_owned()));
    };
    let uri = if core.contains("://") { core.clone() } else { format!("http://{core}") };
    let uri = uri.parse().ok().filter(is_core);
    let uri: Uri = uri.ok_or_else(|| wrong(format!("`{core}` is no address of a core")))?;
    Ok(minerva_edge::tune(Endpoint::from(uri)).connect_lazy())
}

/// Without a port, HTTP's own would be dialled in vain.
fn is_core(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTP) && uri.port().is_some() && uri.path() == "/"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_core_is_a_host_and_a_port() {
        let is_good = |core: &str| channel(&[core.to_owned()]).is_ok();
        for good in ["127.0.0.1:7403", "core:7403", "[::1]:7403", "http://core:7403"] {
            assert!(is_good(good), "{good}");
        }
        for wrong in ["", "core", "a b", "core:x", "https://core:7403", "core:7403/x"] {
            assert!(!is_good(wrong), "{wrong}");
        }
        assert!(channel(&["a:1".to_owned(), "b:1".to_owned()]).is_err(), "one core yet");
    }
}
