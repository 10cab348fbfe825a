//! `minerva`: edge, core, embedded store and demo in one process, with one port for clients. Combines the libraries of
//! the programs `minerva-edge` and `minerva-core`; contains no logic of either.

mod demo;
mod memory_link;
mod options;
mod pages;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use minerva_core::store::{self, StoreUrl};
use minerva_core::{Core, is_config_error};
use minerva_edge::{Edge, Pages};
use minerva_runtime::{
    Admin, AdminAccess, ConfigError, Readiness, ReloadSignals, StopSignals, doctor, health, program,
};
use options::{Options, Switch, Task};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

fn main() -> ExitCode {
    program(
        "minerva",
        |options: &Options| options.threads,
        run,
        |error: &anyhow::Error| is_config_error(error.as_ref()),
    )
}

/// Starts store, core, edge and demo in this order and serves until a stop signal.
async fn run(options: Options) -> anyhow::Result<()> {
    match &options.task {
        Some(Task::Health) => return Ok(health(options.admin).await?),
        Some(Task::Doctor { store, password }) => {
            let store = store.clone().map(|store| password.apply(store)).transpose()?;
            return Ok(run_doctor(&options, store.as_ref()).await?);
        }
        None => {}
    }
    options.core.check_listener("--api", options.core.api)?;
    options.log.start()?;
    let mut signals = StopSignals::listen().context("cannot listen for signals")?;
    let readiness = Readiness::starting();
    let mut registry = Registry::default();
    let core_metrics = minerva_core::Metrics::new(&mut registry);
    let edge_metrics = minerva_edge::Metrics::new(&mut registry);
    let admin = Admin::bind(options.admin)
        .await
        .map_err(|error| ConfigError::cannot_listen("--admin", options.admin, &error))?;
    let admin_address = admin.local_addr()?;
    let admin_access = AdminAccess::new(options.open);
    let admin = admin.with_access(admin_access.clone());
    tokio::spawn(admin.serve(readiness.clone(), registry));
    let api = TcpListener::bind(options.core.api)
        .await
        .map_err(|error| ConfigError::cannot_listen("--api", options.core.api, &error))?;
    let api_address = api.local_addr()?;

    let store_url = options.store()?;
    let store = tokio::task::spawn_blocking(move || store::open(&store_url)).await??;
    let config =
        minerva_core::Config { max_version: options.edge.max_version, ..options.core.clone() };
    let mut core = Core::start(&config, store, core_metrics).await?;
    let (channel, incoming) = memory_link::memory_link();
    core.serve_link(incoming);
    core.serve_api(api);

    let pages = if options.demo == Switch::On { pages::demo() } else { Pages::new() };
    let edge = Edge::bind(options.edge.clone(), channel, pages, Some(edge_metrics))?;
    if let Some(certificates) = edge.certificates() {
        let hangups = ReloadSignals::listen().context("cannot listen for signals")?;
        tokio::spawn(certificates.reload_on(hangups));
    }
    let clients = edge.local_addr();
    wait_for_link(&edge).await;
    if options.demo == Switch::On {
        tokio::spawn(demo::run(dialable(api_address)));
    }
    admin_access.set_authorize(core.metrics_access());
    core.update_readiness(&readiness);
    println!("{}", ready_line(&options, clients, api_address, admin_address));
    serve(edge, core, &mut signals, &readiness).await
}

/// Checks the machine, and the store if given.
async fn run_doctor(
    options: &Options,
    store: Option<&StoreUrl>,
) -> Result<(), doctor::DoctorError> {
    let clients = Some(options.edge.client_requirements());
    let needs =
        doctor::Requirements { clients, has_redis: matches!(store, Some(StoreUrl::Redis(_))) };
    let mut findings = doctor::check_machine(needs).await;
    findings.extend(options.edge.examine_tls());
    if let Some(store) = store {
        findings.extend(store::doctor(store).await);
    }
    doctor::report(&findings)
}

/// Serves until the first stop signal or a failure of the store, then drains the edge and stops the core. A second signal stops at once.
async fn serve(
    edge: Edge,
    core: Core,
    signals: &mut StopSignals,
    readiness: &Readiness,
) -> anyhow::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let edge = tokio::spawn(edge.run(async {
        let _ = stopped.await;
    }));
    let end = tokio::select! {
        () = signals.next() => Ok(()),
        error = core.failed() => Err(error.into()),
        () = core.report_readiness(readiness) => Ok(()),
    };
    readiness.set_unready("stopping");
    drop(stop);
    let drained = async {
        let _ = edge.await;
        core.stop().await;
    };
    tokio::select! {
        () = drained => {}
        () = signals.next() => tracing::warn!("stopped at once by a second signal"),
    }
    end
}

/// Waits for the in-memory link between edge and core.
async fn wait_for_link(edge: &Edge) {
    let mut link = edge.link_state();
    while !link.is_up() {
        link.changed().await;
    }
}

fn ready_line(
    options: &Options,
    clients: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
) -> String {
    let action = if options.demo == Switch::On { "open" } else { "clients on" };
    format!(
        "minerva: ready, {action} http://{}/ (app services: {api}, admin: http://{admin}, state: {})",
        dialable(clients),
        options.data_dir.display(),
    )
}

/// Returns an address that local programs can dial: loopback in place of the unspecified address.
fn dialable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
