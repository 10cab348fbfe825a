//! One GET request for a JWK set: https with the authorities of the operating system, no redirect, bounded in time and
//! length.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper_util::rt::TokioIo;
use minerva_runtime::dial;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

use super::source::MAX_BYTES;

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Dial(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("HTTP: {0}")]
    Http(String),
    #[error("HTTP status {0}; redirects are not followed")]
    Status(u16),
    #[error("no response within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Returns the body of the response.
pub(super) async fn get(url: &Url) -> Result<Bytes, FetchError> {
    timeout(TIMEOUT, get_unlimited(url)).await.unwrap_or(Err(FetchError::Timeout))
}

async fn get_unlimited(url: &Url) -> Result<Bytes, FetchError> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(443);
    let socket = dial::connect(host, port, CONNECT_TIMEOUT)
        .await
        .map_err(|error| FetchError::Dial(error.to_string()))?;
    if url.scheme() != "https" {
        return request(url, socket).await;
    }
    let tls = |error: &dyn std::fmt::Display| FetchError::Tls(error.to_string());
    let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(&error))?;
    let connector = TlsConnector::from(client_config()?);
    request(url, connector.connect(name, socket).await.map_err(|error| tls(&error))?).await
}

async fn request<S>(url: &Url, socket: S) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: &dyn std::fmt::Display| FetchError::Http(error.to_string());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let response = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        if response.status() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES);
        Ok(body.collect().await.map_err(|error| failed(&error))?.to_bytes())
    };
    tokio::pin!(response);
    tokio::select! {
        body = &mut response => body,
        // The response is complete, or fails by the end of the connection.
        _ = connection => response.await,
    }
}

/// Trusts the authorities of the operating system, or those of the variable `SSL_CERT_FILE`.
fn client_config() -> Result<Arc<ClientConfig>, FetchError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(FetchError::Tls("the system has no certificate authorities".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Tls(error.to_string()))?;
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}
