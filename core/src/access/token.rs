//! API tokens: creation, the stored record, and the check of a secret. A record holds no secret, only the hash.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::rights::{Right, Rights, Scope};

/// Start of every token, so that secret scanners find a leaked one.
const PREFIX: &str = "mnv_";
/// Length of a token id: 6 random bytes in hexadecimal digits.
const ID_CHARS: usize = 12;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Version of the stored form. A core skips records of a greater version, which may restrict a token in new ways.
const VERSION: u32 = 1;
/// Service of a token for all services.
const ALL_SERVICES: &str = "*";

/// A stored token, as one line of JSON. Fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredToken {
    version: u32,
    id: String,
    /// SHA-256 of the secret, in hexadecimal digits.
    sha256: String,
    /// Name of the service, or `*`.
    service: String,
    can: Vec<String>,
    /// Seconds since 1970.
    created: u64,
    /// Seconds since 1970; `None` if the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// Whether the record guards the service of a revoked token. Earlier releases read an expired token, which guards too.
    #[serde(default, skip_serializing_if = "is_false")]
    revoked: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A token without the secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenRecord {
    pub(crate) id: String,
    hash: [u8; 32],
    pub(crate) scope: Scope,
    pub(crate) rights: Rights,
    pub(crate) created: u64,
    pub(crate) expires: Option<u64>,
    /// Whether nobody can use the token any more. The record keeps the service closed to callers without a token.
    pub(crate) is_revoked: bool,
}

/// A stored token that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenRecordError {
    /// The text is not a record.
    #[error("not a record of `minerva-core token create`: {0}")]
    Unreadable(String),
    /// A later release has written the record.
    #[error("version {0} of a token is newer than this program")]
    Newer(u32),
}

/// The operating system provides no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes for a token")]
pub struct NoRandomBytesError;

impl TokenRecord {
    /// Creates a token; returns the record and the token itself, which is not stored.
    pub(crate) fn create(
        scope: Scope,
        rights: Rights,
        created: u64,
        expires: Option<u64>,
    ) -> Result<(Self, String), NoRandomBytesError> {
        let mut random = [0; ID_CHARS / 2 + SECRET_BYTES];
        let source = rustls::crypto::ring::default_provider().secure_random;
        source.fill(&mut random).map_err(|_| NoRandomBytesError)?;
        let (id, secret) = random.split_at(ID_CHARS / 2);
        let (id, hash) = (hex(id), hash(secret));
        let token = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Ok((Self { id, hash, scope, rights, created, expires, is_revoked: false }, token))
    }

    /// Parses a stored record.
    pub(crate) fn decode(text: &[u8]) -> Result<Self, TokenRecordError> {
        let unreadable = |problem: &str| TokenRecordError::Unreadable(problem.to_owned());
        let stored: StoredToken =
            serde_json::from_slice(text).map_err(|error| unreadable(&error.to_string()))?;
        if stored.version > VERSION {
            return Err(TokenRecordError::Newer(stored.version));
        }
        if !is_id(&stored.id) {
            return Err(unreadable("the id has not 12 hexadecimal digits"));
        }
        let hash = unhex(&stored.sha256).ok_or_else(|| unreadable("sha256 has not 64 digits"))?;
        let scope = match stored.service.as_str() {
            ALL_SERVICES => Scope::All,
            service => Scope::One(service.into()),
        };
        Ok(Self {
            id: stored.id,
            hash,
            scope,
            rights: Rights::from_names(stored.can.iter().map(String::as_str)),
            created: stored.created,
            expires: stored.expires,
            is_revoked: stored.revoked,
        })
    }

    /// The record after the revocation: no token, but a guard of the service.
    pub(crate) fn into_guard(self) -> Self {
        let rights = [Right::Serve].into_iter().collect();
        Self { rights, expires: Some(0), is_revoked: true, ..self }
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> String {
        let stored = StoredToken {
            version: VERSION,
            id: self.id.clone(),
            sha256: hex(&self.hash),
            service: self.scope.to_string(),
            can: self.rights.iter().map(|right| right.name().to_owned()).collect(),
            created: self.created,
            expires: self.expires,
            revoked: self.is_revoked,
        };
        // A struct of strings and numbers is always serializable.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Compares the secret in constant time.
    pub(crate) fn is_secret(&self, secret: &Secret) -> bool {
        self.hash.ct_eq(&hash(&secret.0)).into()
    }

    pub(crate) fn has_expired(&self, now_seconds: u64) -> bool {
        self.expires.is_some_and(|expires| now_seconds >= expires)
    }

    /// Whether the token permits a call; `service` is `None` for calls that concern no service.
    pub(crate) fn permits(&self, right: Right, service: Option<&str>) -> bool {
        self.rights.has(right) && service.is_none_or(|service| self.scope.includes(service))
    }

    /// The services that only holders of such tokens serve.
    pub(crate) fn served(&self) -> Option<&Scope> {
        self.rights.has(Right::Serve).then_some(&self.scope)
    }

    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

/// Omits the hash.
impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRecord({} service {} can {})", self.id, self.scope, self.rights)
    }
}

/// The secret of a presented token.
pub(crate) struct Secret([u8; SECRET_BYTES]);

/// Splits a presented token into id and secret; `None` if the text has another form.
pub(crate) fn parse(token: &str) -> Option<(&str, Secret)> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    if !is_id(id) {
        return None;
    }
    let secret = URL_SAFE_NO_PAD.decode(secret).ok()?;
    Some((id, Secret(secret.try_into().ok()?)))
}

/// Returns true for the id of a token.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() == ID_CHARS && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let valid = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    valid.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored form of version 1. Never changed: every release reads it.
    const GOLDEN: &str = include_str!("golden/token-1.json");
    /// The token of the golden record.
    const GOLDEN_TOKEN: &str = "mnv_00112233aabb_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn created() -> (TokenRecord, String) {
        let rights = [Right::Serve, Right::Send].into_iter().collect();
        TokenRecord::create(Scope::One("chat".into()), rights, 1_800_000_000, Some(7)).unwrap()
    }

    #[test]
    fn the_stored_form_of_version_1_is_readable() {
        let record = TokenRecord::decode(GOLDEN.trim().as_bytes()).unwrap();
        let (id, secret) = parse(GOLDEN_TOKEN).unwrap();
        assert_eq!((id, &*record.id), ("00112233aabb", "00112233aabb"));
        assert!(record.is_secret(&secret));
        assert_eq!(record.scope, Scope::One("chat".into()));
        assert_eq!(record.rights.to_string(), "serve,send");
        assert_eq!((record.created, record.expires), (1_800_000_000, Some(1_807_776_000)));
        assert_eq!(record.encode(), GOLDEN.trim());
    }

    /// The stored form of a revoked token. Never changed.
    const GUARD: &str = include_str!("golden/token-guard-1.json");

    #[test]
    fn the_stored_form_of_a_guard_is_an_expired_token_for_earlier_releases() {
        let guard = TokenRecord::decode(GOLDEN.trim().as_bytes()).unwrap().into_guard();
        assert_eq!(guard.encode(), GUARD.trim());
        let read = TokenRecord::decode(GUARD.trim().as_bytes()).unwrap();
        assert!(read == guard && read.has_expired(0) && read.is_revoked);
        assert_eq!(read.served(), Some(&Scope::One("chat".into())));
    }

    #[test]
    fn a_record_has_no_secret_and_is_read_back() {
        let (record, token) = created();
        let secret = token.rsplit_once('_').unwrap().1;
        for text in [record.encode(), format!("{record:?}")] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(TokenRecord::decode(record.encode().as_bytes()), Ok(record.clone()));
        let (id, parsed) = parse(&token).unwrap();
        assert!(id == record.id && record.is_secret(&parsed));
        assert!(!record.is_secret(&parse(&created().1).unwrap().1), "another token");
        assert_ne!(created().1, token);
    }

    #[test]
    fn only_whole_tokens_are_parsed() {
        let (_, token) = created();
        for wrong in [
            "",
            "mnv_",
            &token[1..],
            &token[..token.len() - 1],
            &format!("{token}A"),
            &token.replace("mnv_", "mnv_0"),
            &token.to_uppercase(),
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn damaged_and_newer_records_are_errors() {
        let valid = GOLDEN.trim();
        let newer = valid.replace("\"version\":1", "\"version\":2");
        assert_eq!(TokenRecord::decode(newer.as_bytes()), Err(TokenRecordError::Newer(2)));
        for wrong in [
            "",
            "{}",
            &valid[..40],
            &valid.replace("00112233aabb", "00112233aabB"),
            &valid.replace("\"sha256\":\"6", "\"sha256\":\"g"),
            &valid.replace("\"sha256\":\"6", "\"sha256\":\""),
        ] {
            let error = TokenRecord::decode(wrong.as_bytes());
            assert!(matches!(error, Err(TokenRecordError::Unreadable(_))), "{wrong}: {error:?}");
        }
        let later = valid.replace("\"can\":[", "\"note\":{},\"can\":[\"fly\",");
        assert_eq!(TokenRecord::decode(later.as_bytes()), TokenRecord::decode(valid.as_bytes()));
    }

    #[test]
    fn a_token_expires_at_its_second() {
        let (record, _) = created();
        for (now, expired) in [(6, false), (7, true), (8, true)] {
            assert_eq!(record.has_expired(now), expired, "{now}");
        }
        assert!(!TokenRecord { expires: None, ..record }.has_expired(u64::MAX));
    }
}
