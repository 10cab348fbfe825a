//! The keys of one issuer. Each key has one algorithm, whatever a token names.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::token_error::TokenError;

/// Most keys of an issuer.
const MAX_KEYS: usize = 100;

/// Shortest secret of HS256 in bytes: the length of the hash (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// The keys that verify the tokens of an issuer.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    /// `kid` of the key; `None` matches any token.
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a key set is unusable. The text has no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("not a JWK set: {0}")]
    Json(String),
    #[error("no key for RS256 (RSA of 2048 to 8192 bits), ES256 (P-256) or EdDSA (Ed25519)")]
    NoKey,
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    #[error("the secret is shorter than {MIN_SECRET} bytes")]
    ShortSecret,
}

impl KeySet {
    /// Reads the public keys of a JWK set. Keys of other kinds or for another use are skipped.
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(json)
            .map_err(|error| KeySetError::Json(format!("{:?}", error.classify())))?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(public_key).collect();
        if keys.is_empty() { Err(KeySetError::NoKey) } else { Ok(Self { keys }) }
    }

    /// The shared secret of HS256. A line feed at the end of the file is no part of the secret.
    pub(super) fn of_secret(file: &[u8]) -> Result<Self, KeySetError> {
        let secret = file.strip_suffix(b"\n").unwrap_or(file);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < MIN_SECRET {
            return Err(KeySetError::ShortSecret);
        }
        let key = DecodingKey::from_secret(secret).map_err(|_| KeySetError::ShortSecret)?;
        Ok(Self { keys: vec![Key { id: None, algorithm: Algorithm::HS256, key }] })
    }

    /// The key for a token with these values of `kid` and `alg`. A token without `kid` needs a set of one key.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&DecodingKey, TokenError> {
        let found = match (id, &*self.keys) {
            (_, [only]) if id.is_none() || only.id.is_none() => Some(only),
            (Some(_), keys) => keys.iter().find(|key| key.id.as_deref() == id),
            (None, _) => None,
        };
        let key = found.ok_or(TokenError::UnknownKey)?;
        if key.algorithm == algorithm { Ok(&key.key) } else { Err(TokenError::Algorithm) }
    }
}

fn public_key(jwk: &Jwk) -> Option<Key> {
    let (algorithm, own) = if let AlgorithmParameters::RSA(_) = &jwk.algorithm {
        (Algorithm::RS256, KeyAlgorithm::RS256)
    } else if let AlgorithmParameters::EllipticCurve(key) = &jwk.algorithm
        && key.curve == EllipticCurve::P256
    {
        (Algorithm::ES256, KeyAlgorithm::ES256)
    } else if let AlgorithmParameters::OctetKeyPair(key) = &jwk.algorithm
        && key.curve == EllipticCurve::Ed25519
    {
        (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
    } else {
        return None;
    };
    let has_algorithm = jwk.common.key_algorithm.is_none_or(|named| named == own);
    let signs =
        jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| has_algorithm && signs)?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}
