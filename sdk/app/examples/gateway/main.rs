//! A TCP gateway: connects each stream to a separate TCP connection to one backend, which makes TCP servers
//! reachable from browsers. The section "A TCP gateway" of `docs/app-guide.md` describes guarantees and
//! limits.
//!
//! This module has the options, the start and the stop; `connection` serves one stream.

mod connection;
mod end;
mod segment;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use minerva_app::{Service, StartError, Streams};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::connection::Gateway;

/// Exit code of an invalid option, as in Minerva's own programs.
const EXIT_CONFIG: u8 = 64;

/// Connects each stream of a service to a TCP connection to a backend.
///
/// Messages are binary in both directions, or base64 for clients that accept text only, of at most 48 KiB each. Clients
/// never choose the backend.
#[derive(Parser)]
struct Config {
    /// Address of the backend.
    #[arg(long, env = "GATEWAY_BACKEND", value_name = "HOST:PORT", value_parser = backend)]
    backend: String,
    /// Addresses of the cores' application API, separated by commas.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "gateway", value_name = "NAME")]
    service: String,
    /// A constant id of this instance: the streams of the previous start are then ended at
    /// once.
    #[arg(long, env = "MINERVA_INSTANCE", value_name = "ID")]
    instance: Option<String>,
    /// Most concurrent connections; further streams are ended.
    #[arg(long, env = "GATEWAY_MAX_CONNECTIONS", default_value_t = 1000, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: u32,
    /// Deadline for the backend to accept a connection.
    #[arg(long, env = "GATEWAY_CONNECT_TIMEOUT", default_value_t = 5, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    connect_timeout: u64,
    /// Deadline for the backend to take a segment.
    #[arg(long, env = "GATEWAY_STALL_TIMEOUT", default_value_t = 120, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stall_timeout: u64,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) => {
            error.print().ok();
            return if error.use_stderr() { EXIT_CONFIG.into() } else { ExitCode::SUCCESS };
        }
    };
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            let start = error.downcast_ref::<StartError>();
            let is_config = start.is_some_and(|error| !matches!(error, StartError::Refused { .. }));
            if is_config { EXIT_CONFIG.into() } else { ExitCode::FAILURE }
        }
    }
}

#[tokio::main]
async fn start(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let service = tokio::select! {
        service = register(&config) => service?,
        _ = terminate.recv() => return Ok(()),
    };
    run(service, &config, terminate).await
}

async fn register(config: &Config) -> Result<Service, StartError> {
    let mut service = Service::connect(&config.api).name(&config.service);
    if let Some(instance) = &config.instance {
        service = service.instance_id(instance);
    }
    let service = service.start().await?;
    println!("gateway: serving `{}`, the backend is {}", config.service, config.backend);
    Ok(service)
}

/// Serves streams until a termination signal. Then backends are no longer read, clients get a moment to
/// receive the last data, and unaccepted streams go to another instance.
async fn run(mut service: Service, config: &Config, mut terminate: Signal) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let gateway = Arc::new(Gateway {
        backend: config.backend.clone(),
        connect_timeout: Duration::from_secs(config.connect_timeout),
        stall_timeout: Duration::from_secs(config.stall_timeout),
        slots: Semaphore::new(config.max_connections as usize),
        streams: Streams::at(config.api.as_str())?,
        stopping,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = service.accept() => {
                let Some(stream) = stream else { break };
                let gateway = Arc::clone(&gateway);
                connections.spawn(async move { gateway.serve(stream).await });
            }
            // A panicking task has ended the stream.
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => break,
        }
    }
    stop.send_replace(true);
    while connections.join_next().await.is_some() {}
    service.stop().await;
    Ok(())
}

/// Validates an address without resolving the name.
fn backend(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(text.to_owned()),
        Some(Ok(0) | Err(_)) | None => Err("use HOST:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_has_a_host_and_a_port() {
        for right in ["localhost:6379", "10.0.0.1:1", "[::1]:65535"] {
            assert_eq!(backend(right), Ok(right.to_owned()));
        }
        for wrong in ["", "localhost", ":6379", "localhost:", "localhost:0", "localhost:65536"] {
            assert!(backend(wrong).is_err(), "{wrong}");
        }
    }
}
