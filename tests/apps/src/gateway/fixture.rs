//! The processes of the gateway checks: deployment, backend (a Redis) and gateway.

use std::ffi::OsString;
use std::net::SocketAddr;

use minerva_client::TransportKind;
use minerva_faults::deployment::beside_this;
use minerva_faults::ports::Ports;
use minerva_faults::process::Process;
use minerva_faults::random::Random;
use minerva_faults::redis_server::RedisServer;

use super::tunnel::Tunnel;
use crate::deployment::{Deployment, Store};

/// The running processes.
pub(super) struct Fixture {
    pub(super) deployment: Deployment,
    pub(super) redis: RedisServer,
    pub(super) backend: Process,
    /// Serves `default`, the service of TCP clients.
    pub(super) gateway: Process,
    pub(super) seed: u64,
}

impl Fixture {
    pub(super) async fn start(store: Store, seed: u64) -> anyhow::Result<Self> {
        let deployment = Deployment::start(store).await?;
        let mut random = Random::new(Random::fresh_seed());
        let address = Ports::new(&mut random).take()?;
        let directory = deployment.directory().join("backend");
        let (redis, mut backend) = RedisServer::new("the backend", address, directory, &[])?;
        let mut gateway = gateway(&deployment, address, "default", &[])?;
        for process in [&mut backend, &mut gateway] {
            process.spawn()?;
            process.ready().await?;
        }
        Ok(Self { deployment, redis, backend, gateway, seed })
    }

    /// Starts another gateway for a service of WebSocket clients.
    pub(super) async fn another(
        &self,
        backend: SocketAddr,
        service: &'static str,
        more: &[&str],
    ) -> anyhow::Result<Process> {
        let mut process = gateway(&self.deployment, backend, service, more)?;
        process.spawn()?;
        process.ready().await?;
        Ok(process)
    }

    pub(super) fn tunnel(&self, kind: TransportKind) -> anyhow::Result<Tunnel> {
        Tunnel::open(self.deployment.clients, kind, "default")
    }

    pub(super) fn tunnel_to(&self, service: &str) -> anyhow::Result<Tunnel> {
        Tunnel::open(self.deployment.clients, TransportKind::WebSocket, service)
    }

    /// Waits until the backend has a client of this name, or has none.
    pub(super) async fn until_named(&self, name: &str, is_there: bool) -> anyhow::Result<()> {
        let named = format!(" name={name} ");
        let wished = |list: &String| list.contains(&named) == is_there;
        self.redis.until(&["CLIENT", "LIST"], wished).await.map(drop)
    }
}

fn gateway(
    deployment: &Deployment,
    backend: SocketAddr,
    service: &'static str,
    more: &[&str],
) -> anyhow::Result<Process> {
    let mut arguments: Vec<OsString> = vec!["--backend".into(), backend.to_string().into()];
    arguments.extend(more.iter().map(OsString::from));
    let log = deployment.directory().join(format!("gateway-{service}.log"));
    let process = Process::new("the gateway", beside_this("examples/gateway")?, arguments, log);
    Ok(process
        .variable("MINERVA_API", &deployment.api)
        .variable("MINERVA_SERVICE", service)
        .variable("MINERVA_INSTANCE", service)
        .ready_when("serving"))
}
