//! The stored form of verified identities; a part of records and snapshots. Version 7.

use minerva_proto::Identity;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredIdentity {
    #[prost(string, tag = "1")]
    issuer: String,
    #[prost(string, tag = "2")]
    subject: String,
    #[prost(string, repeated, tag = "3")]
    audience: Vec<String>,
    #[prost(string, tag = "4")]
    token_id: String,
    #[prost(uint64, tag = "5")]
    issued_at: u64,
    #[prost(uint64, tag = "6")]
    expires_at: u64,
    #[prost(message, repeated, tag = "7")]
    claims: Vec<StoredClaim>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredClaim {
    #[prost(string, tag = "1")]
    name: String,
    /// JSON text.
    #[prost(string, tag = "2")]
    value: String,
}

impl From<&Identity> for StoredIdentity {
    fn from(identity: &Identity) -> Self {
        let claim = |(name, value): &(String, String)| StoredClaim {
            name: name.clone(),
            value: value.clone(),
        };
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            audience: identity.audience.clone(),
            token_id: identity.token_id.clone(),
            issued_at: identity.issued_at,
            expires_at: identity.expires_at,
            claims: identity.claims.iter().map(claim).collect(),
        }
    }
}

impl From<StoredIdentity> for Identity {
    fn from(stored: StoredIdentity) -> Self {
        Self {
            issuer: stored.issuer,
            subject: stored.subject,
            audience: stored.audience,
            token_id: stored.token_id,
            issued_at: stored.issued_at,
            expires_at: stored.expires_at,
            claims: stored.claims.into_iter().map(|claim| (claim.name, claim.value)).collect(),
        }
    }
}
