//! The source of credentials, which the application sets and the driver calls.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

type Credentials = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Source of credentials: called before the first hello, and for each request of the server, which comes shortly before the
/// present credentials end. The server ends a stream whose credentials have ended with the reason `token expired`.
///
/// ```
/// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// use minerva_client::{Config, TokenSource, TransportKind};
///
/// let mut config = Config::new("127.0.0.1:8080", TransportKind::WebSocket);
/// config.token_source = Some(TokenSource::new(|| async { fetch_token().await.ok() }));
/// ```
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn() -> Credentials + Send + Sync>);

impl TokenSource {
    /// A source that calls `get` for credentials of 1 byte to 8 KiB. A call without a result within 30 seconds, or with the
    /// result `None`, has failed. Before the first hello a failed call is repeated with delays of up to 10 seconds; later the
    /// server repeats the request until the present credentials end.
    pub fn new<F, R>(get: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Option<String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(get())))
    }

    /// Calls the source.
    pub(crate) async fn get(&self) -> Option<String> {
        (self.0)().await
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}
