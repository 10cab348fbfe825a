//! Verifies tokens with the present keys of the issuers, and renews the keys.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use minerva_proto::Identity;
use minerva_runtime::ConfigError;
use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::keys::KeySet;
use super::options::{IssuerOptions, JwtOptions, error};
use super::provider;
use super::source::Source;
use super::token_error::TokenError;
use super::verifier::{Named, Rules, verify};
use crate::clock;
use crate::limits::Limits;

/// Shortest time between two readings of the keys on behalf of tokens, so that invented key names cause few requests.
const MIN_REFRESH: Duration = Duration::from_secs(10);

/// First and longest pause after a failed reading.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

static FAULTS: RecurringFaults = RecurringFaults::new();

/// The verified issuers of a core. Without an issuer no client needs a token.
#[derive(Debug, Default)]
pub(crate) struct Authenticator {
    issuers: Vec<Issuer>,
}

#[derive(Debug)]
struct Issuer {
    rules: Rules,
    /// Services of the issuer; empty for all.
    services: Vec<String>,
    source: Source,
    /// `None` until the first successful reading.
    keys: RwLock<Option<Arc<KeySet>>>,
    refresh: Mutex<Refresh>,
    /// Wakes the task that reads the keys.
    requested: Notify,
}

#[derive(Debug, Default)]
struct Refresh {
    is_pending: bool,
    /// End of the last reading on behalf of a token.
    last: Option<Instant>,
}

/// A token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The token is invalid.
    Refused(TokenError),
    /// The keys are being read; the client repeats the hello.
    Retry,
}

impl Authenticator {
    /// Reads the options, and the keys in files.
    ///
    /// # Errors
    /// An option is invalid, or a file with keys is unusable.
    pub(crate) fn new(options: &JwtOptions, limits: &Limits) -> Result<Self, ConfigError> {
        let (leeway, labels) = (limits.jwt_leeway, limits.jwt_label.is_some());
        let mut issuers: Vec<Issuer> = Vec::new();
        for IssuerOptions { issuer, audience, services, source } in options.issuers()? {
            if issuers.iter().any(|other| other.rules.issuer == issuer) {
                let problem = format!("has the issuer `{issuer}` twice");
                return Err(error("--jwt-issuers", problem, "put all keys into one JWK set"));
            }
            let claims = options.jwt_claims.clone();
            let rules = Rules { issuer, audience, claims, leeway: leeway.as_secs(), labels };
            let keys = match source.file() {
                Some(path) => Some(Arc::new(source.read_file(path).map_err(|problem| {
                    let problem = format!("{}: {problem}", path.display());
                    error(source.option(), problem, "give a readable file with keys of the issuer")
                })?)),
                None => None,
            };
            let (keys, refresh) = (RwLock::new(keys), Mutex::default());
            let requested = Notify::new();
            issuers.push(Issuer { rules, services, source, keys, refresh, requested });
        }
        if !issuers.is_empty() {
            provider::install();
        }
        Ok(Self { issuers })
    }

    /// Whether clients of a service need a token.
    pub(crate) fn is_required(&self, service: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer.serves(service))
    }

    /// Verifies the token of a client of a service. `wall` is the time in seconds since 1970.
    pub(crate) fn verify(
        &self,
        token: &str,
        service: &str,
        (now, wall): (Instant, u64),
    ) -> Result<Identity, Denial> {
        let named = Named::parse(token).map_err(Denial::Refused)?;
        let serves =
            |issuer: &&Issuer| issuer.rules.issuer == named.issuer && issuer.serves(service);
        let issuer = self.issuers.iter().find(serves);
        let issuer = issuer.ok_or(Denial::Refused(TokenError::UnknownIssuer))?;
        let Some(keys) = issuer.keys() else {
            return Err(Denial::Retry);
        };
        match verify(token, &named, &issuer.rules, &keys, wall) {
            Err(TokenError::UnknownKey) if issuer.request_refresh(now) => Err(Denial::Retry),
            verified => verified.map_err(Denial::Refused),
        }
    }

    /// Reads the keys of all issuers for ever. Cancel safe.
    pub(crate) async fn run(&self) {
        let tasks = self.issuers.iter().map(Issuer::run);
        futures_util::future::join_all(tasks).await;
    }
}

impl Issuer {
    fn serves(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == service)
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests the keys again for a token with an unknown key; returns false if they were read lately.
    fn request_refresh(&self, now: Instant) -> bool {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |last: Instant| now.saturating_duration_since(last) < MIN_REFRESH;
        if !refresh.is_pending && refresh.last.is_some_and(is_recent) {
            return false;
        }
        if !std::mem::replace(&mut refresh.is_pending, true) {
            self.requested.notify_one();
        }
        true
    }

    async fn run(&self) {
        let mut pause = PAUSES.0;
        if self.source.file().is_some() {
            self.wait(self.source.interval()).await;
        }
        loop {
            if self.read().await {
                pause = PAUSES.0;
                self.wait(self.source.interval()).await;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    async fn wait(&self, interval: Duration) {
        let _ = timeout(interval, self.requested.notified()).await;
    }

    /// Reads the keys once. After a failure the old keys stay in use.
    async fn read(&self) -> bool {
        let read = self.source.read().await;
        let now = clock::now().into_std();
        let is_ok = match read {
            Ok(keys) => {
                let mut present = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *present = Some(Arc::new(keys));
                true
            }
            Err(error) => {
                let place = self.source.place();
                if let Some(failures) = FAULTS.record(&place, now) {
                    let issuer = &self.rules.issuer;
                    let text =
                        "the keys of an issuer of tokens cannot be read; the old ones stay in use";
                    tracing::warn!(issuer, place, %error, failures, "{text}");
                }
                false
            }
        };
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut refresh.is_pending) {
            refresh.last = Some(now);
        }
        is_ok
    }
}
