//! `minerva`: the whole of Minerva in one process, on one port for clients. It puts together what the
//! programs `minerva-edge` and `minerva-core` run apart, on the embedded store, and serves the demo.

mod demo;
mod memory_link;
mod options;
mod pages;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use minerva_core::store::{self, StoreUrl};
use minerva_core::{Core, is_config};
use minerva_edge::{Edge, Pages};
use minerva_runtime::{
    Admin, ConfigError, Hangups, Readiness, StopSignals, doctor, health, program,
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
        |error: &anyhow::Error| is_config(error.as_ref()),
    )
}

/// Starts the parts, inside out: store, core, edge, demo.
async fn run(options: Options) -> anyhow::Result<()> {
    match &options.task {
        Some(Task::Health) => return Ok(health(options.admin).await?),
        Some(Task::Doctor { store }) => return Ok(examine(&options, store.as_ref()).await?),
        None => {}
    }
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
    tokio::spawn(admin.serve(readiness.clone(), registry));
    let api = TcpListener::bind(options.core.api)
        .await
        .map_err(|error| ConfigError::cannot_listen("--api", options.core.api, &error))?;
    let api_address = api.local_addr()?;

    let store_url = options.store()?;
    let store = tokio::task::spawn_blocking(move || store::open(&store_url)).await??;
    let mut core = Core::start(&options.core, store, core_metrics).await?;
    let (channel, incoming) = memory_link::memory_link();
    core.serve_link(incoming);
    core.serve_api(api);

    let pages = if options.demo == Switch::On { pages::demo() } else { Pages::new() };
    let edge = Edge::bind(options.edge.clone(), channel, pages, Some(edge_metrics)).await?;
    if let Some(certificates) = edge.certificates() {
        let hangups = Hangups::listen().context("cannot listen for signals")?;
        tokio::spawn(certificates.follow(hangups));
    }
    let clients = edge.local_addr();
    linked(&edge).await;
    if options.demo == Switch::On {
        tokio::spawn(demo::run(reachable(api_address)));
    }
    readiness.set_ready();
    println!("{}", ready_line(&options, clients, api_address, admin_address));
    serve(edge, core, &mut signals, &readiness).await
}

/// Checks the machine, and a store if one is named.
async fn examine(options: &Options, store: Option<&StoreUrl>) -> Result<(), doctor::Unfit> {
    let clients = Some(options.edge.needed_files());
    let needs = doctor::Needs { clients, has_redis: matches!(store, Some(StoreUrl::Redis(_))) };
    let mut findings = doctor::machine(needs).await;
    findings.extend(options.edge.examine_tls());
    if let Some(store) = store {
        findings.extend(store::doctor(store).await);
    }
    doctor::report(&findings)
}

/// Serves until a signal; then drains the edge, and stops the core behind it.
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
    signals.next().await;
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
    Ok(())
}

/// Waits until the edge has its link, which takes no network.
async fn linked(edge: &Edge) {
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
    let what = if options.demo == Switch::On { "open" } else { "clients on" };
    format!(
        "minerva: ready, {what} http://{}/ (app services: {api}, admin: http://{admin}, state: {})",
        reachable(clients),
        options.data_dir.display(),
    )
}

/// An address that a program on this machine can dial: loopback instead of "all addresses".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
