//! The tokens in a store or a token file, as the commands of operators change them.

use std::path::Path;
use std::sync::Arc;

use super::command::{Place, TokenCommandError};
use super::file;
use super::rights::Scope;
use super::token::TokenRecord;
use crate::store::{self, OperatorStore, StoreError, StoreUrl};

/// The place of all tokens.
pub(super) enum Book<'a> {
    File(&'a Path),
    Store { store: Arc<dyn OperatorStore>, is_redb: bool },
}

/// The result of a revocation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Revocation {
    /// The record is removed.
    Removed,
    /// A record keeps the service closed to callers without a token.
    Guarded {
        /// The service.
        scope: Scope,
        /// Id of the record.
        guard: String,
    },
}

impl<'a> Book<'a> {
    pub(super) async fn open(place: &'a Place, url: &StoreUrl) -> Result<Self, TokenCommandError> {
        if let Some(path) = &place.file {
            return Ok(Self::File(path));
        }
        let is_redb = matches!(url, StoreUrl::Redb(_));
        let failed = |error| TokenCommandError::Store { error, is_redb };
        if matches!(url, StoreUrl::Memory) {
            let text = "--store memory: has no data outside of its process; use --file FILE";
            return Err(TokenCommandError::Options(text.to_owned()));
        }
        let url = url.clone();
        let opened = tokio::task::spawn_blocking(move || store::open(&url)).await;
        let store = opened.map_err(|error| failed(StoreError::Unavailable(error.to_string())))?;
        Ok(Self::Store { store: store.map_err(failed)?, is_redb })
    }

    /// Adds or replaces the record of a token.
    pub(super) async fn set(&self, record: &TokenRecord) -> Result<(), TokenCommandError> {
        match self {
            Self::File(path) => Ok(file::set(path, record)?),
            Self::Store { store, is_redb } => {
                let blob = record.encode().into();
                let added = store.set_token(&record.id, Some(blob)).await;
                added.map(|_| ()).map_err(|error| failed(error, *is_redb))
            }
        }
    }

    /// Revokes a token. If the token permits to serve, a record stays that guards its service; `reopens` removes that, too.
    ///
    /// One guard is enough for a service, the one with the lowest id: of two commands at the same time, none removes the
    /// last guard.
    pub(super) async fn revoke(
        &self,
        id: &str,
        reopens: bool,
    ) -> Result<Revocation, TokenCommandError> {
        let not_found = || TokenCommandError::NotFound(id.to_owned());
        let record = self.all().await?.into_iter().find(|record| record.id == id);
        // An unreadable record can only be removed.
        let served = record.filter(|record| !reopens && record.served().is_some());
        let Some(record) = served else {
            return match self.remove(id).await? {
                true => Ok(Revocation::Removed),
                false => Err(not_found()),
            };
        };
        if record.is_revoked {
            return Err(TokenCommandError::Revoked(id.to_owned()));
        }
        let scope = record.scope.clone();
        self.set(&record.into_guard()).await?;
        let records = self.all().await?;
        let serving = records.iter().filter(|other| other.served() == Some(&scope));
        let (guards, tokens): (Vec<_>, Vec<_>) = serving.partition(|other| other.is_revoked);
        let kept = guards.iter().map(|guard| &guard.id).min();
        for guard in guards.iter().filter(|guard| Some(&guard.id) != kept) {
            self.remove(&guard.id).await?;
        }
        // While other tokens guard the service, there is nothing to report.
        Ok(match kept.filter(|_| tokens.is_empty()) {
            Some(guard) => Revocation::Guarded { scope, guard: guard.clone() },
            None => Revocation::Removed,
        })
    }

    async fn remove(&self, id: &str) -> Result<bool, TokenCommandError> {
        match self {
            Self::File(path) => Ok(file::remove(path, id)?),
            Self::Store { store, is_redb } => {
                store.set_token(id, None).await.map_err(|error| failed(error, *is_redb))
            }
        }
    }

    /// All readable tokens in the order of their creation.
    pub(super) async fn all(&self) -> Result<Vec<TokenRecord>, TokenCommandError> {
        let mut records: Vec<TokenRecord> = match self {
            Self::File(path) => file::parse(path, &file::read(path)?)?,
            Self::Store { store, is_redb } => {
                let stored = store.tokens(0).await.map_err(|error| failed(error, *is_redb))?;
                let blobs = stored.unwrap_or_default().records.into_iter();
                blobs.filter_map(|(_, blob)| TokenRecord::decode(&blob).ok()).collect()
            }
        };
        records.sort_by_key(|record| record.created);
        Ok(records)
    }
}

fn failed(error: StoreError, is_redb: bool) -> TokenCommandError {
    TokenCommandError::Store { error, is_redb }
}
