//! The table of API tokens.

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};

use super::super::{MAX_TOKENS, StoreError, StoredTokens, random_version, too_many_tokens};
use super::error::classify;
use super::tables::Tables;

/// Token id to record.
const TOKENS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("tokens");
/// The setting with the version of the tokens.
const VERSION: &str = "tokens_version";

impl Tables<'_> {
    pub(super) fn tokens(&self) -> Result<StoredTokens, StoreError> {
        let version = self.settings.get(VERSION).map_err(classify)?;
        let version = version.map(|version| version.value()).unwrap_or_default();
        let table = self.transaction.open_table(TOKENS).map_err(classify)?;
        let mut records = Vec::new();
        for row in table.iter().map_err(classify)? {
            let (id, record) = row.map_err(classify)?;
            records.push((id.value().to_owned(), Bytes::copy_from_slice(record.value())));
        }
        Ok(StoredTokens { version, records })
    }

    /// Returns whether the token existed.
    pub(super) fn set_token(
        &mut self,
        id: &str,
        record: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let mut table = self.transaction.open_table(TOKENS).map_err(classify)?;
        let existed = table.get(id).map_err(classify)?.is_some();
        let count = usize::try_from(table.len().map_err(classify)?).unwrap_or(usize::MAX);
        if record.is_some() && !existed && count >= MAX_TOKENS {
            return Err(too_many_tokens());
        }
        match record {
            Some(record) => table.insert(id, record).map_err(classify)?,
            None => table.remove(id).map_err(classify)?,
        };
        self.settings.insert(VERSION, random_version()?).map_err(classify)?;
        self.changed = true;
        Ok(existed)
    }
}
