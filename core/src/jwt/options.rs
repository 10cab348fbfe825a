//! The options for tokens of clients, and the file with several issuers. Used by [`super::Authenticator::new`].

use std::fs;
use std::path::{Path, PathBuf};

use minerva_proto::ServiceName;
use minerva_runtime::ConfigError;

use super::source::Source;

/// Longest file with issuers, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Options for the tokens of clients (JWT).
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Tokens of clients")]
pub struct JwtOptions {
    /// Public keys of the issuer as a JWK set: a file, or an https address, which is read every 5 minutes and for an unknown
    /// key. With one of --jwt-jwks, --jwt-hs256-file and --jwt-issuers, clients must present a valid token as `cred`.
    #[arg(long, env = "MINERVA_JWT_JWKS", value_name = "FILE|URL")]
    pub jwt_jwks: Option<String>,

    /// File with the shared secret of HS256, at least 32 bytes, in place of --jwt-jwks.
    #[arg(long, env = "MINERVA_JWT_HS256_FILE", value_name = "FILE")]
    pub jwt_hs256_file: Option<PathBuf>,

    /// Required value of `iss`.
    #[arg(long, env = "MINERVA_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Values of `aud` of which a token must have one, separated by commas.
    #[arg(long, env = "MINERVA_JWT_AUDIENCE", value_name = "AUDIENCE", value_delimiter = ',')]
    pub jwt_audience: Vec<String>,

    /// Services that require a token, separated by commas; all services if omitted.
    #[arg(long, env = "MINERVA_JWT_SERVICES", value_name = "NAMES", value_delimiter = ',')]
    pub jwt_services: Vec<String>,

    /// File with several issuers in JSON: a list of {"issuer", "audience": [], "jwks" or "hs256_file", "services": []}. In
    /// place of the options of one issuer.
    #[arg(long, env = "MINERVA_JWT_ISSUERS", value_name = "FILE")]
    pub jwt_issuers: Option<PathBuf>,

    /// Claims that the application receives beside `sub`, `aud`, `exp`, `iat` and `jti`, separated by commas.
    #[arg(long, env = "MINERVA_JWT_CLAIMS", value_name = "NAMES", value_delimiter = ',')]
    pub jwt_claims: Vec<String>,
}

/// One configured issuer.
#[derive(Debug)]
pub(super) struct IssuerOptions {
    pub(super) issuer: String,
    pub(super) audience: Vec<String>,
    /// Services of the issuer; empty for all.
    pub(super) services: Vec<String>,
    pub(super) source: Source,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerEntry {
    issuer: String,
    audience: Vec<String>,
    #[serde(default)]
    jwks: Option<String>,
    #[serde(default)]
    hs256_file: Option<PathBuf>,
    #[serde(default)]
    services: Vec<String>,
}

impl JwtOptions {
    /// The configured issuers; none if clients need no token.
    pub(super) fn issuers(&self) -> Result<Vec<IssuerOptions>, ConfigError> {
        let entries = match &self.jwt_issuers {
            Some(_) if self.has_issuer() => {
                let problem = "excludes the options of one issuer";
                return Err(error("--jwt-issuers", problem, "put all issuers into the file"));
            }
            Some(file) => read(file)?,
            None if self.has_issuer() => vec![self.entry()?],
            None => Vec::new(),
        };
        entries.into_iter().map(IssuerEntry::checked).collect()
    }

    fn has_issuer(&self) -> bool {
        let has_key = self.jwt_jwks.is_some() || self.jwt_hs256_file.is_some();
        let has_list = !self.jwt_audience.is_empty() || !self.jwt_services.is_empty();
        has_key || has_list || self.jwt_issuer.is_some()
    }

    fn entry(&self) -> Result<IssuerEntry, ConfigError> {
        let problem = "is missing";
        let issuer = self.jwt_issuer.clone();
        Ok(IssuerEntry {
            issuer: issuer
                .ok_or_else(|| error("--jwt-issuer", problem, "give the `iss` of the tokens"))?,
            audience: self.jwt_audience.clone(),
            jwks: self.jwt_jwks.clone(),
            hs256_file: self.jwt_hs256_file.clone(),
            services: self.jwt_services.clone(),
        })
    }
}

impl IssuerEntry {
    fn checked(self) -> Result<IssuerOptions, ConfigError> {
        let Self { issuer, audience, jwks, hs256_file, services } = self;
        if issuer.is_empty() {
            return Err(error("--jwt-issuer", "is empty", "give the `iss` of the tokens"));
        }
        if audience.is_empty() || audience.iter().any(String::is_empty) {
            let fix = "give the `aud` of tokens for this deployment; tokens for others are refused";
            return Err(error("--jwt-audience", format!("is missing for issuer `{issuer}`"), fix));
        }
        if let Some(wrong) = services.iter().find(|name| ServiceName::parse(name).is_err()) {
            let problem = format!("`{wrong}` is not the name of a service");
            return Err(error("--jwt-services", problem, "use 1 to 64 of a-z, 0-9, '-' and '_'"));
        }
        let source = match (jwks, hs256_file) {
            (Some(place), None) => Source::jwks(&place)?,
            (None, Some(file)) => Source::Secret(file),
            (Some(_), Some(_)) | (None, None) => {
                let problem = format!("issuer `{issuer}` needs exactly one source of keys");
                return Err(error("--jwt-jwks", problem, "give --jwt-jwks or --jwt-hs256-file"));
            }
        };
        Ok(IssuerOptions { issuer, audience, services, source })
    }
}

fn read(file: &Path) -> Result<Vec<IssuerEntry>, ConfigError> {
    let failed = |problem: String| {
        let fix = "write a list of {\"issuer\", \"audience\": [], \"jwks\" or \"hs256_file\"}";
        error("--jwt-issuers", format!("{}: {problem}", file.display()), fix)
    };
    let size = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed("longer than 1 MiB".to_owned()));
    }
    let text = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let entries: Vec<IssuerEntry> =
        serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    if entries.is_empty() { Err(failed("has no issuer".to_owned())) } else { Ok(entries) }
}

pub(super) fn error(option: &str, problem: impl Into<String>, fix: &str) -> ConfigError {
    ConfigError::new(option, problem.into(), fix)
}
