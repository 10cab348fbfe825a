//! Verification of a token against the rules and keys of one issuer; pure.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, dangerous, decode, decode_header};
use minerva_proto::labels::is_label;
use minerva_proto::{Identity, MAX_IDENTITY};
use serde_json::{Map, Value};

use super::keys::KeySet;
use super::token_error::TokenError;

/// Longest token, as the longest `cred` of a hello.
const MAX_TOKEN: usize = minerva_proto::hello::MAX_CRED;

/// Latest end of a token in seconds since 1970: the year 9999.
const MAX_TIME: u64 = 253_402_300_799;

/// Rules for tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Value of `iss`.
    pub(super) issuer: String,
    /// Values of `aud` of which a token must have one.
    pub(super) audience: Vec<String>,
    /// Claims for the application.
    pub(super) claims: Vec<String>,
    /// Tolerated difference of clocks in seconds.
    pub(super) leeway: u64,
    /// The subject becomes the label of the stream.
    pub(super) labels: bool,
}

/// The unverified parts of a token that select the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Value of `iss`.
    pub(super) issuer: String,
    key: Option<String>,
    algorithm: Algorithm,
}

impl Named {
    /// Reads the parts of a token that select the key.
    pub(super) fn parse(token: &str) -> Result<Self, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN || token.split('.').count() != 3 {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|error| {
            // An unknown `alg`, such as `none`, or a header that is no JSON object.
            let is_json = matches!(error.kind(), ErrorKind::Json(_));
            if is_json { TokenError::Algorithm } else { TokenError::Malformed }
        })?;
        let claims: Map<String, Value> =
            dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenError::UnknownIssuer)?;
        Ok(Self { issuer: issuer.to_owned(), key: header.kid, algorithm: header.alg })
    }
}

/// Verifies signature and claims of a token. `now` is the wall clock in seconds since 1970.
pub(super) fn verify(
    token: &str,
    named: &Named,
    rules: &Rules,
    keys: &KeySet,
    now: u64,
) -> Result<Identity, TokenError> {
    let key = keys.find(named.key.as_deref(), named.algorithm)?;
    let mut validation = Validation::new(named.algorithm);
    // The claims are checked below, with the time as an argument.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    validation.validate_aud = false;
    let claims: Map<String, Value> =
        decode(token, key, &validation).map_err(|error| refusal(error.kind()))?.claims;
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(TokenError::UnknownIssuer);
    }
    identity(&claims, rules, now)
}

fn refusal(error: &ErrorKind) -> TokenError {
    if matches!(error, ErrorKind::InvalidSignature) {
        TokenError::Signature
    } else if matches!(error, ErrorKind::InvalidAlgorithm) {
        TokenError::Algorithm
    } else {
        TokenError::Malformed
    }
}

fn identity(claims: &Map<String, Value>, rules: &Rules, now: u64) -> Result<Identity, TokenError> {
    let expires_at = time(claims, "exp")?.ok_or(TokenError::Malformed)?;
    if expires_at.saturating_add(rules.leeway) <= now {
        return Err(TokenError::Expired);
    }
    let starts = [time(claims, "nbf")?, time(claims, "iat")?];
    if starts.into_iter().flatten().any(|start| start > now.saturating_add(rules.leeway)) {
        return Err(TokenError::NotYetValid);
    }
    let audience = texts(claims.get("aud")).ok_or(TokenError::Audience)?;
    if !audience.iter().any(|name| rules.audience.contains(name)) {
        return Err(TokenError::Audience);
    }
    let subject = text(claims, "sub")?;
    if subject.is_empty() {
        return Err(TokenError::NoSubject);
    }
    if rules.labels && !is_label(&subject) {
        return Err(TokenError::NoLabel);
    }
    let chosen = rules.claims.iter();
    let identity = Identity {
        issuer: rules.issuer.clone(),
        subject,
        audience,
        token_id: text(claims, "jti")?,
        issued_at: time(claims, "iat")?.unwrap_or(0),
        expires_at,
        claims: chosen
            .filter_map(|name| Some((name.clone(), claims.get(name)?.to_string())))
            .collect(),
    };
    if identity.size() > MAX_IDENTITY { Err(TokenError::TooLarge) } else { Ok(identity) }
}

/// A time in whole seconds. A value of another type makes the token malformed, never unlimited.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_TIME as f64).contains(seconds));
        seconds.map(|seconds| seconds as u64)
    });
    seconds.filter(|seconds| *seconds <= MAX_TIME).map(Some).ok_or(TokenError::Malformed)
}

/// A text; empty if absent.
fn text(claims: &Map<String, Value>, name: &str) -> Result<String, TokenError> {
    match claims.get(name) {
        None => Ok(String::new()),
        Some(value) => value.as_str().map(str::to_owned).ok_or(TokenError::Malformed),
    }
}

/// One text or a list of texts.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}
