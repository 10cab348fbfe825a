//! The store of a deployment: one Redis behind a proxy, a set with Sentinels, or a file.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::{Fleet, Hop, Plan, Role, StoreKind};
use crate::ports::Ports;
use crate::redis_server::RedisServer;

const REPLICAS: usize = 2;
const SENTINELS: usize = 3;

impl Fleet {
    /// Adds the processes of the store; returns the address for the cores.
    pub(super) async fn add_store(
        &mut self,
        plan: &Plan,
        ports: &mut Ports<'_>,
    ) -> anyhow::Result<String> {
        let address = match plan.store {
            StoreKind::Redis => {
                let settings: Vec<_> = plan.redis_settings.iter().map(String::as_str).collect();
                let server = self.add_redis("redis", ports.take()?, &settings)?;
                // Clients of a set use the servers' own addresses, so only a single server has a proxy.
                format!("redis://{}/", self.proxy(Hop::Redis, server).await?)
            }
            StoreKind::Sentinel => self.add_set(ports)?,
            StoreKind::Redb => format!("redb:{}", self.directory().join("data").display()),
        };
        let query = if plan.store_options.is_empty() { "" } else { "?" };
        Ok(format!("{address}{query}{}", plan.store_options))
    }

    fn add_redis(
        &mut self,
        name: &str,
        address: SocketAddr,
        settings: &[&str],
    ) -> anyhow::Result<SocketAddr> {
        let directory = self.directory().join(name);
        let (server, process) = RedisServer::new(name, address, directory, settings)?;
        self.servers.push(server);
        self.add(Role::Redis, process);
        Ok(address)
    }

    fn add_set(&mut self, ports: &mut Ports<'_>) -> anyhow::Result<String> {
        let primary = self.add_redis("redis1", ports.take()?, &[])?;
        let port = primary.port();
        for number in 2..2 + REPLICAS {
            let replica = format!("replicaof 127.0.0.1 {port}");
            self.add_redis(&format!("redis{number}"), ports.take()?, &[&replica])?;
        }
        for number in 1..=SENTINELS {
            let name = format!("sentinel{number}");
            let (address, directory) = (ports.take()?, self.directory().join(&name));
            let (sentinel, process) = RedisServer::sentinel(&name, address, directory, primary)?;
            self.sentinels.push(sentinel);
            self.add(Role::Sentinel, process);
        }
        let addresses: Vec<_> =
            self.sentinels.iter().map(|sentinel| sentinel.address.to_string()).collect();
        Ok(format!("redis-sentinel://{}/minerva/0", addresses.join(",")))
    }

    /// Waits until every Sentinel has discovered the other Sentinels and the replicas, a precondition of a failover.
    pub(super) async fn wait_for_sentinels(&self) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            for (list, number) in [("REPLICAS", REPLICAS), ("SENTINELS", SENTINELS - 1)] {
                let all = |listed: &Vec<redis::Value>| listed.len() >= number;
                let known = sentinel.until(&["SENTINEL", list, "minerva"], all).await;
                known.with_context(|| format!("{} are missing", list.to_lowercase()))?;
            }
        }
        Ok(())
    }

    /// Requests a failover from a Sentinel.
    pub(crate) async fn fail_over(&self) -> anyhow::Result<()> {
        let sentinel = self.sentinels.first().context("there is no Sentinel")?;
        sentinel.command::<()>(&["SENTINEL", "FAILOVER", "minerva"]).await
    }
}
