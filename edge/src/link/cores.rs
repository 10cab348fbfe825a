//! Where the cores are: as the operator names them, and as their names resolve now. Dialled by `dial.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::uri::{Scheme, Uri};
use minerva_runtime::ConfigError;
use tonic::transport::Channel;

/// Time for one look-up of a name.
const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Where an edge finds its cores.
#[derive(Clone)]
pub struct Cores(pub(super) Whereabouts);

#[derive(Clone)]
pub(super) enum Whereabouts {
    /// One core, and the way to it.
    Channel(Channel),
    /// As many as the names have addresses.
    Names(Names),
}

/// Finds the addresses of a name with a port.
type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
    + Send
    + Sync;

/// Names of cores, and what they resolved to last.
#[derive(Clone)]
pub(super) struct Names {
    names: Vec<(String, Vec<SocketAddr>)>,
    lookup: Arc<Lookup>,
}

impl Cores {
    /// Cores at these addresses: host and port of each one's `--link`. A host may be a name that stands
    /// for several addresses; it is looked up again from time to time.
    ///
    /// # Errors
    /// If there is none, or one is no address; the error names the option `--core`.
    pub fn at(addresses: &[String]) -> Result<Self, ConfigError> {
        let wrong = |problem: String| {
            let fix = "give the --link address of each core with its port, such as 127.0.0.1:7403";
            ConfigError::new("--core", problem, fix)
        };
        let name = |address: &String| {
            let name = host_and_port(address.trim());
            name.ok_or_else(|| wrong(format!("`{address}` is no address of a core")))
        };
        let mut names = addresses.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Err(wrong("no core is named".to_owned()));
        }
        let names = names.into_iter().map(|name| (name, Vec::new())).collect();
        Ok(Self(Whereabouts::Names(Names { names, lookup: Arc::new(system_lookup) })))
    }

    /// Has names looked up by `lookup` instead of the system; it gets host and port.
    #[must_use]
    pub fn looked_up_by<F, L>(mut self, lookup: F) -> Self
    where
        F: Fn(String) -> L + Send + Sync + 'static,
        L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        if let Whereabouts::Names(names) = &mut self.0 {
            names.lookup = Arc::new(move |name| Box::pin(lookup(name)));
        }
        self
    }
}

/// One core. The channel should be [tuned](crate::tune).
impl From<Channel> for Cores {
    fn from(channel: Channel) -> Self {
        Self(Whereabouts::Channel(channel))
    }
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Whereabouts::Channel(_) => f.write_str("Cores(channel)"),
            Whereabouts::Names(names) => {
                f.debug_list().entries(names.names.iter().map(|(name, _)| name)).finish()
            }
        }
    }
}

impl Names {
    /// Looks all names up. One that cannot be looked up keeps the addresses that it had.
    pub(super) async fn resolve(&mut self) -> BTreeSet<SocketAddr> {
        let look_up = |(name, _): &(String, _)| {
            tokio::time::timeout(LOOKUP_TIME, (self.lookup)(name.clone()))
        };
        let found = join_all(self.names.iter().map(look_up)).await;
        for ((name, addresses), found) in self.names.iter_mut().zip(found) {
            match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(found) => *addresses = found,
                Err(error) => tracing::warn!(core = name, %error, "cannot look the name up"),
            }
        }
        self.names.iter().flat_map(|(_, addresses)| addresses).copied().collect()
    }
}

fn system_lookup(
    name: String,
) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
    Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
}

/// Without a port, HTTP's own would be dialled in vain.
fn host_and_port(address: &str) -> Option<String> {
    let uri =
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let uri: Uri = uri.parse().ok()?;
    let authority = uri.authority()?.as_str();
    let is_core = uri.scheme() == Some(&Scheme::HTTP)
        && uri.port_u16().is_some()
        && uri.path_and_query().is_none_or(|path| path == "/")
        && !authority.contains('@');
    is_core.then(|| authority.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn at(addresses: &[&str]) -> Result<Cores, ConfigError> {
        Cores::at(&addresses.iter().map(|&address| address.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_core_is_a_host_and_a_port() {
        for good in ["127.0.0.1:7403", "core:7403", "[::1]:7403", "http://core:7403", " core:1"] {
            assert!(at(&[good]).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "core",
            "a b",
            "core:x",
            "https://core:7403",
            "core:7403/x",
            "me@core:1",
            "core:0x1",
        ] {
            let error = at(&["core:7403", wrong]).unwrap_err().to_string();
            assert!(error.contains("--core") && error.contains("127.0.0.1:7403"), "{error}");
        }
        assert!(at(&[]).is_err());
        assert_eq!(
            format!("{:?}", at(&["b:1", "a:1", "http://B:1"]).unwrap()),
            r#"["a:1", "b:1"]"#
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_looked_up_keeps_its_addresses() {
        let answers = Arc::new(Mutex::new(vec![
            Ok(vec![SocketAddr::from(([10, 0, 0, 2], 1))]),
            Err(io::Error::other("the resolver is down")),
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1))]),
        ]));
        let lookup = Arc::clone(&answers);
        let cores = at(&["core:1"]).unwrap().looked_up_by(move |name| {
            assert_eq!(name, "core:1");
            let answer = lookup.lock().unwrap().pop().unwrap();
            async { answer }
        });
        let Whereabouts::Names(mut names) = cores.0 else { panic!() };
        assert_eq!(names.resolve().await.len(), 2);
        assert_eq!(names.resolve().await.len(), 2);
        assert_eq!(names.resolve().await.len(), 1);
    }
}
