//! The program `minerva-core`: reads the options, opens the store and the ports, runs a [`Core`] until a stop signal.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use minerva_core::access::{self, TokenCommand, TokenCommandError};
use minerva_core::inspect::{self, StoreCommand};
use minerva_core::store::{self, StoreError, StorePassword, StoreUrl};
use minerva_core::{Config, Core, Metrics, is_config_error};
use minerva_runtime::{
    Admin, AdminAccess, AdminConfig, ConfigError, LogConfig, Readiness, ReloadSignals, StopSignals,
    Subcommand, ThreadConfig, address, doctor, health, program,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// The core of Minerva: owns streams and keeps their state in a store.
///
/// Edges connect to --link, application services to --api.
#[derive(Debug, clap::Parser)]
#[command(name = "minerva-core", version)]
struct Options {
    /// Address for edges (gRPC).
    #[arg(long, env = "MINERVA_LINK", default_value = "127.0.0.1:7403", value_name = "ADDR",
        value_parser = address)]
    link: SocketAddr,

    /// Store of the streams: redis://HOST:PORT/DB (also rediss, redis-sentinel, redis-cluster), redb:DIR (one
    /// crash-safe file) or memory: (lost at exit). Pass a Redis password in the environment, where other users
    /// of the machine cannot read it.
    #[arg(
        long,
        env = "MINERVA_STORE",
        global = true,
        hide_env_values = true,
        value_name = "URL",
        default_value = "redb:./minerva-data"
    )]
    store: StoreUrl,

    #[command(flatten)]
    password: StorePassword,

    /// Address for /healthz, /readyz and /metrics.
    #[arg(long, env = "MINERVA_ADMIN", global = true, default_value = "127.0.0.1:7401", value_name = "ADDR",
        value_parser = address, help_heading = "Operation")]
    admin: SocketAddr,

    /// Newest version of the wire protocol that clients may use, 2 or 3. Edges serve version 3 only if all cores have this
    /// setting.
    #[arg(long, env = "MINERVA_MAX_VERSION", value_name = "VERSION", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(2..=3))]
    max_version: u32,

    #[command(flatten)]
    core: Config,

    #[command(flatten, next_help_heading = "Operation")]
    threads: ThreadConfig,

    #[command(flatten, next_help_heading = "Operation")]
    open: AdminConfig,

    #[command(flatten, next_help_heading = "Operation")]
    log: LogConfig,

    #[command(subcommand)]
    task: Option<Task>,
}

/// Subcommands; without one the program serves.
#[derive(Debug, clap::Subcommand)]
enum Task {
    #[command(flatten)]
    Common(Subcommand),
    /// Inspect and repair the store, with or without running cores.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Create, list and revoke API tokens, with or without running cores.
    #[command(subcommand)]
    Token(TokenCommand),
}

fn main() -> ExitCode {
    let threads = |options: &Options| Some(options.threads.count());
    program("minerva-core", threads, run, |error: &anyhow::Error| is_config_error(error.as_ref()))
}

async fn run(options: Options) -> anyhow::Result<()> {
    if let Some(Task::Common(Subcommand::Health)) = options.task {
        return Ok(health(options.admin).await?);
    }
    let store_url = options.password.apply(options.store)?;
    match options.task {
        Some(Task::Common(_)) => return Ok(examine(&store_url).await?),
        Some(Task::Store(command)) => {
            return Ok(inspect::run(&command, &store_url, |text| print!("{text}")).await?);
        }
        Some(Task::Token(command)) => return Ok(run_token(&command, &store_url).await?),
        None => {}
    }
    options.core.check_listener("--link", options.link)?;
    options.core.check_listener("--api", options.core.api)?;
    options.log.start()?;
    let mut signals = StopSignals::listen().context("cannot listen for signals")?;
    let readiness = Readiness::starting();
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let admin = Admin::bind(options.admin)
        .await
        .map_err(|error| ConfigError::cannot_listen("--admin", options.admin, &error))?;
    let admin_address = admin.local_addr()?;
    let admin_access = AdminAccess::new(options.open);
    let admin = admin.with_access(admin_access.clone());
    tokio::spawn(admin.serve(readiness.clone(), registry));
    // Bound before the store is opened, so that a second process fails at once.
    let link = bind("--link", options.link).await?;
    let api = bind("--api", options.core.api).await?;
    let store = tokio::task::spawn_blocking({
        let store_url = store_url.clone();
        move || store::open(&store_url)
    });
    let store = store.await??;
    let report = |obstacle: Option<&str>| {
        readiness.set_unready(match obstacle {
            Some(reason) => format!("waiting for the store: {reason}"),
            None => "starting".to_owned(),
        });
    };
    let config = Config { max_version: options.max_version, ..options.core };
    let started = tokio::select! {
        started = Core::start_reporting(&config, store, metrics, report) => started,
        () = signals.next() => return Ok(()),
    };
    let mut core = started?;
    let ready = format!(
        "minerva-core: ready, edges on {}, apps on {}, admin on http://{admin_address}, store {}",
        link.local_addr()?,
        api.local_addr()?,
        store_url,
    );
    reload_at_hangup(&core)?;
    core.serve_link_tcp(link);
    core.serve_api(api);
    admin_access.set_authorize(core.metrics_access());
    core.update_readiness(&readiness);
    println!("{ready}");
    Ok(serve(core, &mut signals, &readiness).await?)
}

/// Loads the certificates of the core again at each SIGHUP, for the life of the process.
fn reload_at_hangup(core: &Core) -> anyhow::Result<()> {
    let Some(certificates) = core.certificates() else { return Ok(()) };
    let mut hangups = ReloadSignals::listen().context("cannot listen for signals")?;
    tokio::spawn(async move {
        loop {
            hangups.next().await;
            match certificates.reload() {
                Ok(()) => tracing::info!("certificates reloaded"),
                Err(error) => tracing::error!(
                    %error, "cannot reload the certificates; the previous ones stay in use"
                ),
            }
        }
    });
    Ok(())
}

/// The subcommand `token`: prints tokens on standard output, and explanations on standard error.
async fn run_token(command: &TokenCommand, store: &StoreUrl) -> Result<(), TokenCommandError> {
    access::run(command, store, |text| print!("{text}"), |text| eprint!("{text}")).await
}

/// The subcommand `doctor`: checks the machine and the store.
async fn examine(store: &StoreUrl) -> Result<(), doctor::DoctorError> {
    let needs =
        doctor::Requirements { clients: None, has_redis: matches!(store, StoreUrl::Redis(_)) };
    let mut findings = doctor::check_machine(needs).await;
    findings.extend(store::doctor(store).await);
    doctor::report(&findings)
}

/// Serves until a signal or a failure of the store, then stops the core; a second signal exits at once.
async fn serve(
    core: Core,
    signals: &mut StopSignals,
    readiness: &Readiness,
) -> Result<(), StoreError> {
    let end = tokio::select! {
        () = signals.next() => Ok(()),
        error = core.failed() => Err(error),
        () = core.report_readiness(readiness) => Ok(()),
    };
    readiness.set_unready("stopping");
    tokio::select! {
        () = core.stop() => {}
        () = signals.next() => tracing::warn!("a second signal: exiting at once"),
    }
    end
}

async fn bind(option: &'static str, address: SocketAddr) -> Result<TcpListener, ConfigError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ConfigError::cannot_listen(option, address, &error))
}
