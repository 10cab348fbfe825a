//! The tokens of a core: loaded at the start from the store and the token file, then polled for changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::watch;
use tokio::time::sleep;

use super::file;
use super::table::TokenTable;
use super::token::TokenRecord;
use crate::clock;
use crate::store::{Store, StoreError, StoredTokens};

/// Pause between two reads: a change is known within a second, with a second read in reserve.
const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// Reads the tokens of the store and of the file.
pub(crate) struct TokenSource {
    store: Arc<dyn Store>,
    file: Option<PathBuf>,
    /// Version and records of the last read.
    stored: StoredTokens,
    /// Content of the file at the last read.
    content: String,
    tokens: watch::Sender<Arc<TokenTable>>,
}

impl TokenSource {
    /// Reads the tokens for the first time.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the file cannot be read, and errors of the store.
    pub(crate) async fn load(
        store: Arc<dyn Store>,
        file: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let (stored, content) = (StoredTokens::default(), String::new());
        let tokens = watch::Sender::new(Arc::default());
        let mut source = Self { store, file, stored, content, tokens };
        source.read_file().map_err(|error| StoreError::Config(error.to_string()))?;
        source.read_store().await?;
        source.publish();
        Ok(source)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<TokenTable>> {
        self.tokens.subscribe()
    }

    /// Polls for changes for ever. While the store or the file cannot be read, the last tokens stay in force.
    pub(crate) async fn watch(mut self) {
        static FAULTS: RecurringFaults = RecurringFaults::new();
        loop {
            sleep(POLL_INTERVAL).await;
            let of_file = self.read_file().unwrap_or_else(|error| {
                let problem = error.to_string();
                if let Some(reads) = FAULTS.record(&problem, clock::now().into_std()) {
                    tracing::warn!(reads, problem, "the last tokens of the file stay in force");
                }
                false
            });
            // The errors of the store are logged by other calls.
            let of_store = self.read_store().await.unwrap_or_default();
            if of_file || of_store {
                self.publish();
            }
        }
    }

    /// Returns true if the records have changed.
    async fn read_store(&mut self) -> Result<bool, StoreError> {
        let found = self.store.tokens(self.stored.version).await?;
        let changed = found.is_some();
        self.stored = found.unwrap_or_else(|| std::mem::take(&mut self.stored));
        Ok(changed)
    }

    /// Returns true if the content has changed.
    fn read_file(&mut self) -> Result<bool, file::TokenFileError> {
        let Some(path) = &self.file else { return Ok(false) };
        let content = file::read(path)?;
        if content == self.content {
            return Ok(false);
        }
        file::parse(path, &content)?;
        self.content = content;
        Ok(true)
    }

    fn publish(&self) {
        let of_store = self.stored.records.iter().filter_map(|(id, record)| {
            let decoded = TokenRecord::decode(record);
            let problem = decoded.as_ref().err().map(ToString::to_string);
            if let Some(problem) = problem {
                tracing::warn!(token = id, problem, "a stored token is ignored");
            }
            decoded.ok()
        });
        let of_file = self.file.as_deref().map(|path| file::parse(path, &self.content));
        let of_file = of_file.and_then(Result::ok).unwrap_or_default();
        let table = TokenTable::new(of_store.chain(of_file).map(TokenRecord::shared));
        self.tokens.send_replace(Arc::new(table));
    }
}
