//! What the TCP gateway (`sdk/app/examples/gateway`) must do in front of a Redis: bytes intact both ways, a slow side
//! that stops the other, and truthful ends. This module has the processes and the order of the checks.

mod ends;
mod relay;
mod tunnel;

use std::ffi::OsString;
use std::net::SocketAddr;

use minerva_client::TransportKind;
use minerva_faults::deployment::beside_this;
use minerva_faults::ports::Ports;
use minerva_faults::process::Process;
use minerva_faults::random::Random;
use minerva_faults::redis_server::RedisServer;

use self::tunnel::Tunnel;
use crate::report::Report;
use crate::stage::{Stage, Store};

/// Options of `gateway`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Where the core keeps state.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Repeats the bytes that are sent.
    #[arg(long)]
    seed: Option<u64>,
}

/// Everything that runs.
struct Scene {
    stage: Stage,
    redis: RedisServer,
    backend: Process,
    /// Serves `default`, which is what TCP clients reach.
    gateway: Process,
    seed: u64,
}

/// Runs all checks.
pub(crate) async fn run(config: Config) -> anyhow::Result<Report> {
    let seed = config.seed.unwrap_or_else(Random::fresh_seed);
    println!("gateway: --seed {seed}");
    let mut scene = Scene::start(config.store, seed).await?;
    let mut report = Report::default();
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let name = |what: &str| format!("{what}, {kind}");
        report.check(&name("PING"), relay::answers(&scene, kind)).await;
        report.check(&name("2 MB each way"), relay::pipeline(&scene, kind)).await;
        report.check(&name("a client that does not read"), relay::slow_client(&scene, kind)).await;
        report.check(&name("the client ends"), ends::by_client(&scene, kind)).await;
        report.check(&name("what is no segment"), ends::by_invalid(&scene, kind)).await;
        report.check(&name("the backend closes"), ends::by_backend(&scene, kind)).await;
    }
    report.check("a backend that does not read", relay::slow_backend(&scene)).await;
    report.check("a backend that does not accept", ends::by_silence(&scene)).await;
    report.check("one connection at most", ends::by_limit(&scene)).await;
    report.check("the backend is killed", ends::by_killed_backend(&mut scene)).await;
    report.check("the gateway is killed", ends::by_killed_gateway(&mut scene)).await;
    report.check("the gateway is stopped", ends::by_stop(&mut scene)).await;
    report.check("wrong options", ends::by_options(&scene)).await;
    if config.store == Store::Redis {
        report.check("2 MB each way, cores killed", relay::killed_cores(&mut scene)).await;
    }
    if report.failed() > 0 {
        scene.stage.keep();
    }
    Ok(report)
}

impl Scene {
    async fn start(store: Store, seed: u64) -> anyhow::Result<Self> {
        let stage = Stage::start(store).await?;
        let mut random = Random::new(Random::fresh_seed());
        let address = Ports::new(&mut random).take()?;
        let directory = stage.directory().join("backend");
        let (redis, mut backend) = RedisServer::new("the backend", address, directory, &[])?;
        let mut gateway = gateway(&stage, address, "default", &[])?;
        for process in [&mut backend, &mut gateway] {
            process.spawn()?;
            process.ready().await?;
        }
        Ok(Self { stage, redis, backend, gateway, seed })
    }

    /// A gateway for a service of its own, which WebSocket clients reach; ready.
    async fn another(
        &self,
        backend: SocketAddr,
        service: &'static str,
        more: &[&str],
    ) -> anyhow::Result<Process> {
        let mut process = gateway(&self.stage, backend, service, more)?;
        process.spawn()?;
        process.ready().await?;
        Ok(process)
    }

    fn tunnel(&self, kind: TransportKind) -> anyhow::Result<Tunnel> {
        Tunnel::open(self.stage.clients, kind, "default")
    }

    fn tunnel_to(&self, service: &str) -> anyhow::Result<Tunnel> {
        Tunnel::open(self.stage.clients, TransportKind::WebSocket, service)
    }

    /// Waits until the backend has, or has not, a client of this name.
    async fn until_named(&self, name: &str, is_there: bool) -> anyhow::Result<()> {
        let named = format!(" name={name} ");
        let wished = |list: &String| list.contains(&named) == is_there;
        self.redis.until(&["CLIENT", "LIST"], wished).await.map(drop)
    }
}

fn gateway(
    stage: &Stage,
    backend: SocketAddr,
    service: &'static str,
    more: &[&str],
) -> anyhow::Result<Process> {
    let mut arguments: Vec<OsString> = vec!["--backend".into(), backend.to_string().into()];
    arguments.extend(more.iter().map(OsString::from));
    let log = stage.directory().join(format!("gateway-{service}.log"));
    let process = Process::new("the gateway", beside_this("examples/gateway")?, arguments, log);
    Ok(process
        .variable("MINERVA_API", &stage.api)
        .variable("MINERVA_SERVICE", service)
        .variable("MINERVA_INSTANCE", service)
        .ready_when("serving"))
}
