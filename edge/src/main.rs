//! The program `minerva-edge`: options, admin port and signals around one [`minerva_edge::Edge`].

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use minerva_edge::{Config, Cores, Edge, LinkState, Metrics, Pages};
use minerva_runtime::doctor::Finding;
use minerva_runtime::tls::{MtlsOptions, TlsClient};
use minerva_runtime::{
    Admin, AdminAccess, AdminConfig, ConfigError, LogConfig, Readiness, ReloadSignals, StopSignals,
    Subcommand, ThreadConfig, address, doctor, health, program,
};
use prometheus_client::registry::Registry;

/// Minerva's edge: clients connect here over WebSocket, HTTP or TCP; their streams live in cores.
#[derive(Debug, Parser)]
#[command(name = "minerva-edge", version, disable_help_subcommand = true)]
struct Options {
    #[command(subcommand)]
    task: Option<Subcommand>,

    #[command(flatten)]
    edge: Config,

    /// Link ports of the cores (their --link), separated by commas. Each address of a host name is one core;
    /// names are resolved again every few seconds.
    #[arg(
        long,
        help_heading = "Core",
        env = "MINERVA_CORE",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:7403"
    )]
    core: Vec<String>,

    #[command(flatten)]
    mtls: MtlsOptions,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, help_heading = "Operation", env = "MINERVA_ADMIN", value_name = "ADDR", global = true,
        default_value = "127.0.0.1:7402", value_parser = address)]
    admin: SocketAddr,

    #[command(flatten, next_help_heading = "Operation")]
    threads: ThreadConfig,

    #[command(flatten, next_help_heading = "Operation")]
    open: AdminConfig,

    #[command(flatten, next_help_heading = "Operation")]
    log: LogConfig,
}

fn main() -> ExitCode {
    let threads = |options: &Options| Some(options.threads.count());
    program("minerva-edge", threads, run, |error: &anyhow::Error| error.is::<ConfigError>())
}

async fn run(options: Options) -> anyhow::Result<()> {
    match options.task {
        Some(Subcommand::Health) => return Ok(health(options.admin).await?),
        Some(Subcommand::Doctor) => {
            let clients = Some(options.edge.client_requirements());
            let needs = doctor::Requirements { clients, has_redis: false };
            let mut findings = doctor::check_machine(needs).await;
            findings.extend(options.edge.examine_tls());
            findings.extend(examine_link_certificates(&options.mtls));
            return Ok(doctor::report(&findings)?);
        }
        None => {}
    }
    options.log.start()?;
    let mut signals = StopSignals::listen().context("cannot listen for signals")?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let mut cores = Cores::at(&options.core)?;
    if let Some(certificates) = link_certificates(&options.mtls)? {
        follow_files(certificates.clone())?;
        cores = cores.with_tls(certificates);
    }
    let readiness = Readiness::starting();
    let admin = Admin::bind(options.admin)
        .await
        .map_err(|error| ConfigError::cannot_listen("--admin", options.admin, &error))?;
    let admin_addr = admin.local_addr()?;
    let edge = Edge::bind(options.edge, cores, Pages::new(), Some(metrics))?;
    if let Some(certificates) = edge.certificates() {
        let hangups = ReloadSignals::listen().context("cannot listen for signals")?;
        tokio::spawn(certificates.reload_on(hangups));
    }
    let admin = admin.with_access(AdminAccess::new(options.open));
    tokio::spawn(admin.serve(readiness.clone(), registry));
    let clients = edge.local_addr();
    let following = tokio::spawn(follow_links(edge.link_state(), readiness.clone(), move || {
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
        () = signals.next() => tracing::info!("second signal: stopping immediately"),
        () = running => tracing::info!("drained"),
    }
    Ok(())
}

/// The certificates of the links; `None` without TLS.
fn link_certificates(options: &MtlsOptions) -> Result<Option<TlsClient>, ConfigError> {
    let Some(files) = options.files()? else { return Ok(None) };
    if files.identity.is_none() {
        let problem = "the certificate of the edge is missing: a core accepts no link without one";
        let fix = "give --mtls-cert and --mtls-key, too";
        return Err(ConfigError::new("--mtls-cert (MINERVA_MTLS_CERT)", problem, fix));
    }
    TlsClient::client(files).map(Some)
}

/// The check of the certificates in `minerva-edge doctor`; `None` without TLS.
fn examine_link_certificates(options: &MtlsOptions) -> Option<Finding> {
    const SUBJECT: &str = "TLS certificate of the links";
    match link_certificates(options) {
        Ok(certificates) => certificates.map(|_| Finding::ok(SUBJECT, "usable")),
        Err(error) => Some(Finding::config_error(SUBJECT, error)),
    }
}

/// Loads changed certificates of the links within a second, and at each SIGHUP, for the life of the process.
fn follow_files(certificates: TlsClient) -> anyhow::Result<()> {
    let report = |outcome| match outcome {
        Ok(()) => tracing::info!("certificates of the links reloaded"),
        Err(error) => tracing::error!(
            %error, "cannot reload the certificates of the links; the previous ones stay in use"
        ),
    };
    let mut hangups = ReloadSignals::listen().context("cannot listen for signals")?;
    tokio::spawn(certificates.clone().follow(report));
    tokio::spawn(async move {
        loop {
            hangups.next().await;
            report(certificates.reload());
        }
    });
    Ok(())
}

/// Updates the readiness from the state of the links; calls `ready` once.
async fn follow_links(mut link: LinkState, readiness: Readiness, ready: impl FnOnce() + Send) {
    let mut ready = Some(ready);
    loop {
        match link.unready_reason() {
            Some(unready_reason) => readiness.set_unready(unready_reason),
            None => {
                readiness.set_ready();
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
        }
        link.changed().await;
    }
}
