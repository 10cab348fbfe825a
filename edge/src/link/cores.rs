//! Addresses of the cores: parsing of `--core` and name resolution. Used by `dial.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::uri::{Scheme, Uri};
use minerva_runtime::ConfigError;
use minerva_runtime::recurring::RecurringFaults;
use minerva_runtime::tls::TlsClient;
use tonic::transport::Channel;

use crate::clock;

/// Time limit for resolving a name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of the cores, or one channel.
#[derive(Clone)]
pub struct Cores(pub(super) Source);

#[derive(Clone)]
pub(super) enum Source {
    /// The channel to a single core.
    Channel(Channel),
    /// One core per address of the names.
    Names(Names),
}

/// Resolves `host:port` to addresses.
type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
    + Send
    + Sync;

/// Names of cores and their last resolved addresses.
#[derive(Clone)]
pub(super) struct Names {
    names: Vec<(String, Vec<SocketAddr>)>,
    lookup: Arc<Lookup>,
    /// Certificates of the links; `None` without TLS.
    pub(super) tls: Option<TlsClient>,
}

impl Cores {
    /// Cores at these addresses: host and port of each `--link`. A host name may resolve to several addresses and is
    /// resolved again periodically.
    ///
    /// # Errors
    /// If the list is empty or an address is invalid; the error names the option `--core`.
    pub fn at(addresses: &[String]) -> Result<Self, ConfigError> {
        let wrong = |problem: String| {
            let fix = "give the --link address of each core with its port, such as 127.0.0.1:7403";
            ConfigError::new("--core", problem, fix)
        };
        let name = |address: &String| {
            let name = host_and_port(address.trim());
            name.ok_or_else(|| wrong(format!("`{address}` is not an address of a core")))
        };
        let mut names = addresses.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Err(wrong("the list of cores is empty".to_owned()));
        }
        let names = names.into_iter().map(|name| (name, Vec::new())).collect();
        Ok(Self(Source::Names(Names { names, lookup: Arc::new(system_lookup), tls: None })))
    }

    /// Links over TLS, with these certificates.
    #[must_use]
    pub fn with_tls(mut self, certificates: TlsClient) -> Self {
        if let Source::Names(names) = &mut self.0 {
            names.tls = Some(certificates);
        }
        self
    }

    /// Resolves names by `lookup`, which receives host and port, instead of the system resolver.
    #[must_use]
    pub fn with_lookup<F, L>(mut self, lookup: F) -> Self
    where
        F: Fn(String) -> L + Send + Sync + 'static,
        L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        if let Source::Names(names) = &mut self.0 {
            names.lookup = Arc::new(move |name| Box::pin(lookup(name)));
        }
        self
    }
}

/// One core. The channel should be [tuned](crate::tune).
impl From<Channel> for Cores {
    fn from(channel: Channel) -> Self {
        Self(Source::Channel(channel))
    }
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Channel(_) => f.write_str("Cores(channel)"),
            Source::Names(names) => {
                f.debug_list().entries(names.names.iter().map(|(name, _)| name)).finish()
            }
        }
    }
}

impl Names {
    /// Resolves all names: addresses, each with its host and port by name. After a failure, a name keeps its previous
    /// addresses.
    pub(super) async fn resolve(&mut self) -> BTreeMap<SocketAddr, String> {
        let look_up = |(name, _): &(String, _)| {
            tokio::time::timeout(LOOKUP_TIMEOUT, (self.lookup)(name.clone()))
        };
        let found = join_all(self.names.iter().map(look_up)).await;
        for ((name, addresses), found) in self.names.iter_mut().zip(found) {
            match found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(found) => *addresses = found,
                Err(error) => warn_unresolved(name, &error),
            }
        }
        let named = |(name, addresses): &(String, Vec<SocketAddr>)| {
            addresses.iter().map(|&address| (address, name.clone())).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(named).collect()
    }
}

/// Logs a failed resolution of a name, one line per name and cause at growing intervals.
fn warn_unresolved(name: &str, error: &io::Error) {
    static FAULTS: RecurringFaults = RecurringFaults::new();
    if let Some(failures) = FAULTS.record(&format!("{name}: {error}"), clock::now()) {
        tracing::warn!(core = name, %error, failures, "cannot resolve the name");
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
        let cores = at(&["core:1"]).unwrap().with_lookup(move |name| {
            assert_eq!(name, "core:1");
            let answer = lookup.lock().unwrap().pop().unwrap();
            async { answer }
        });
        let Source::Names(mut names) = cores.0 else { panic!() };
        assert_eq!(names.resolve().await.len(), 2);
        assert_eq!(names.resolve().await.len(), 2);
        assert_eq!(names.resolve().await.len(), 1);
    }
}
