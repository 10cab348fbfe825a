//! Access control of the link and the application API: API tokens, callers, and the rules of [`decide`].
//!
//! `api.rs` and `link.rs` identify each caller and ask for permission; `core.rs` keeps the tokens up to date. The content
//! of calls is out of scope.

mod book;
mod command;
mod decide;
mod file;
mod rights;
mod source;
mod table;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use http::Extensions;
use minerva_runtime::ConfigError;
use minerva_runtime::recurring::RecurringFaults;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use self::command::{TokenCommand, TokenCommandError, run};
pub(crate) use self::decide::{AccessError, Anonymous, Caller, Origin};
use self::decide::{Credential, decide, decide_any, scope};
pub use self::rights::Right;
pub(crate) use self::rights::Scope;
pub(crate) use self::source::TokenSource;
use self::table::TokenTable;
use crate::clock;
use crate::metrics::Metrics;

/// Domain of the reasons in errors.
const DOMAIN: &str = "minerva";
/// Longest value of the metadata `authorization`.
const MAX_AUTHORIZATION: usize = 1024;
/// Interval at which the expiry of the tokens of open calls is checked.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

/// Options of access to the ports for edges and application services.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AccessConfig {
    /// Accept edges and application services at --link and --api without a token or certificate and from every network.
    /// Use this option only in a network that others cannot reach.
    #[arg(long, env = "MINERVA_INSECURE", help_heading = "Access", value_parser = BoolishValueParser::new())]
    pub insecure: bool,

    /// Require a token or certificate also from callers on this machine.
    #[arg(long, env = "MINERVA_REQUIRE_TOKENS", help_heading = "Access", value_parser = BoolishValueParser::new())]
    pub require_tokens: bool,

    /// File with tokens of `minerva-core token create --file`, in addition to the tokens in the store. Changes are applied
    /// within a second.
    #[arg(long, env = "MINERVA_TOKEN_FILE", value_name = "FILE", help_heading = "Access")]
    pub token_file: Option<PathBuf>,
}

impl AccessConfig {
    fn anonymous(&self) -> Anonymous {
        match (self.require_tokens, self.insecure) {
            (true, _) => Anonymous::Nobody,
            (false, true) => Anonymous::Everyone,
            (false, false) => Anonymous::Loopback,
        }
    }

    /// Refuses a listener that other machines can reach in plain text.
    ///
    /// # Errors
    /// If `address` is not a loopback address, and neither TLS nor `--insecure` is configured.
    pub fn check_listener(
        &self,
        option: &'static str,
        address: SocketAddr,
        has_tls: bool,
    ) -> Result<(), ConfigError> {
        if is_loopback(address.ip()) || has_tls || self.insecure {
            return Ok(());
        }
        let problem = format!("{address} is open to other machines without TLS");
        Err(ConfigError::new(
            option,
            problem,
            "use a loopback address such as 127.0.0.1, give --mtls-ca, --mtls-cert and --mtls-key, or add --insecure in a \
             network that others cannot reach",
        ))
    }
}

/// Origin of an accepted TCP connection.
pub(crate) fn tcp_origin(socket: &TcpStream) -> Origin {
    match socket.peer_addr() {
        Ok(peer) if is_loopback(peer.ip()) => Origin::Loopback,
        Ok(_) | Err(_) => Origin::Remote,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The access control of a core; clones share the tokens.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    anonymous: Anonymous,
    tokens: watch::Receiver<Arc<TokenTable>>,
    metrics: Metrics,
}

impl Access {
    pub(crate) fn new(
        config: &AccessConfig,
        tokens: watch::Receiver<Arc<TokenTable>>,
        metrics: Metrics,
    ) -> Self {
        Self { anonymous: config.anonymous(), tokens, metrics }
    }

    /// Identifies the caller of a request by the value of `authorization` and the connection.
    ///
    /// # Errors
    /// If the caller presents an invalid credential.
    pub(crate) fn caller(
        &self,
        authorization: Option<&[u8]>,
        extensions: &Extensions,
    ) -> Result<Caller, AccessError> {
        let origin = extensions.get::<Origin>().copied().unwrap_or(Origin::Remote);
        let credential = authorization.map(|value| self.authenticate(value)).transpose();
        match credential {
            Ok(credential) => {
                let role = || extensions.get().cloned().map(Credential::Certificate);
                Ok(Caller { origin, credential: credential.or_else(role) })
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    fn authenticate(&self, value: &[u8]) -> Result<Credential, AccessError> {
        let token = bearer(value).ok_or(AccessError::Malformed)?;
        let record = self.tokens.borrow().authenticate(token, now_seconds())?;
        Ok(Credential::Token(record))
    }

    /// Checks a call that concerns one service, or no service.
    pub(crate) fn check(
        &self,
        caller: &Caller,
        right: Right,
        service: Option<&str>,
    ) -> Result<(), AccessError> {
        let is_guarded = service.is_some_and(|service| self.tokens.borrow().is_guarded(service));
        decide(caller, right, service, is_guarded, self.anonymous)
            .map_err(|error| self.refused(error))
    }

    /// Whether the value of `authorization` permits to read the metrics.
    pub(crate) fn may_read_metrics(&self, authorization: &[u8]) -> bool {
        let caller = self.caller(Some(authorization), &Extensions::new());
        caller.is_ok_and(|caller| self.check(&caller, Right::Metrics, None).is_ok())
    }

    /// The services whose streams the caller may address by number.
    pub(crate) fn scope(&self, caller: &Caller, right: Right) -> Result<Scope, AccessError> {
        scope(caller, right, self.anonymous).map_err(|error| self.refused(error))
    }

    /// Checks a call that needs any credential.
    pub(crate) fn check_any(&self, caller: &Caller) -> Result<(), AccessError> {
        decide_any(caller, self.anonymous).map_err(|error| self.refused(error))
    }

    /// Completes when the credential of an open call becomes invalid; pending without a credential. Cancel safe.
    pub(crate) async fn revoked(&self, caller: &Caller) -> AccessError {
        let Some(Credential::Token(record)) = &caller.credential else {
            return std::future::pending().await;
        };
        let mut tokens = self.tokens.clone();
        loop {
            let checked = tokens.borrow_and_update().check(record, now_seconds());
            if let Err(error) = checked {
                return self.refused(error.into());
            }
            tokio::select! {
                changed = tokens.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = sleep(EXPIRY_INTERVAL), if record.expires.is_some() => {}
            }
        }
    }

    /// Counts and logs a refusal.
    fn refused(&self, error: AccessError) -> AccessError {
        static FAULTS: RecurringFaults = RecurringFaults::new();
        let reason = error.reason();
        self.metrics.calls_refused.get_or_create(&[("reason", reason)]).inc();
        if let Some(calls) = FAULTS.record(reason, clock::now().into_std()) {
            tracing::warn!(reason, calls, last = %error, "calls refused");
        }
        error
    }
}

/// The token in a value of the form `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= MAX_AUTHORIZATION)?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

fn now_seconds() -> u64 {
    clock::wall_ms() / 1000
}

impl From<AccessError> for Status {
    fn from(error: AccessError) -> Self {
        let code = match error.is_unauthenticated() {
            true => Code::Unauthenticated,
            false => Code::PermissionDenied,
        };
        let details = ErrorDetails::with_error_info(error.reason(), DOMAIN, []);
        Self::with_error_details(code, error.to_string(), details)
    }
}

#[cfg(test)]
mod tests;
