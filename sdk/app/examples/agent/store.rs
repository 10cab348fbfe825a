//! The conversations in SQLite. State, messages and effects change in one transaction, and only one handler of a conversation
//! can commit: a handler that lost its stream without noticing fails.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::Value;

use crate::conversation::{Conversation, Effects, Turn};

/// The tables. `messages` keeps all messages to the client under their numbers.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS conversations (
        id TEXT PRIMARY KEY, next_event INTEGER, next_message INTEGER,
        prompt TEXT, steps INTEGER, call INTEGER, verdict INTEGER);
    CREATE TABLE IF NOT EXISTS messages (
        id TEXT, number INTEGER, json TEXT, PRIMARY KEY (id, number));
    CREATE TABLE IF NOT EXISTS approved (id TEXT, call INTEGER, PRIMARY KEY (id, call));";

/// The database, shared by all handlers.
#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<Connection>>);

impl Store {
    /// Opens or creates the database.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.execute_batch(TABLES)?;
        Ok(Self(Arc::new(Mutex::new(database))))
    }

    /// Returns the stored conversation, or a new one.
    pub(crate) fn load(&self, id: &str) -> rusqlite::Result<Conversation> {
        let query = "SELECT next_event, next_message, prompt, steps, call, verdict
            FROM conversations WHERE id = ?";
        let database = self.lock();
        let stored = database.query_row(query, [id], |row| {
            let prompt: Option<String> = row.get(2)?;
            let (steps, call, verdict) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok(Conversation {
                next_event: row.get(0)?,
                next_message: row.get(1)?,
                turn: prompt.map(|prompt| Turn { prompt, steps, call, verdict }),
            })
        });
        Ok(stored.optional()?.unwrap_or(Conversation { next_event: 1, ..Conversation::default() }))
    }

    /// The stored messages from `number` on.
    pub(crate) fn messages_from(&self, id: &str, number: u64) -> anyhow::Result<Vec<Value>> {
        let query = "SELECT json FROM messages WHERE id = ? AND number >= ? ORDER BY number";
        let database = self.lock();
        let mut statement = database.prepare(query)?;
        let texts = statement.query_map(params![id, number], |row| row.get::<_, String>(0))?;
        texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }

    /// Replaces the state `before` by `after` and stores the effects, all or none.
    pub(crate) fn commit(
        &self,
        id: &str,
        before: &Conversation,
        after: &Conversation,
        effects: &Effects,
    ) -> anyhow::Result<()> {
        let mut database = self.lock();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let insert =
            "INSERT OR IGNORE INTO conversations (id, next_event, next_message) VALUES (?, 1, 0)";
        transaction.execute(insert, [id])?;
        let update = "UPDATE conversations SET next_event = ?, next_message = ?, prompt = ?, steps = ?, call = ?,
            verdict = ? WHERE id = ? AND next_event = ? AND next_message = ?";
        let turn = after.turn.as_ref();
        let changed = transaction.execute(
            update,
            params![
                after.next_event,
                after.next_message,
                turn.map(|turn| &turn.prompt),
                turn.map(|turn| turn.steps),
                turn.and_then(|turn| turn.call),
                turn.and_then(|turn| turn.verdict),
                id,
                before.next_event,
                before.next_message,
            ],
        )?;
        ensure!(changed == 1, "another handler has continued the conversation");
        let insert = "INSERT INTO messages (id, number, json) VALUES (?, ?, ?)";
        for (number, json) in (before.next_message..).zip(&effects.messages) {
            transaction.execute(insert, params![id, number, json.to_string()])?;
        }
        if let Some(call) = effects.approved {
            transaction
                .execute("INSERT INTO approved (id, call) VALUES (?, ?)", params![id, call])?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes an ended conversation.
    pub(crate) fn delete(&self, id: &str) -> rusqlite::Result<()> {
        let mut database = self.lock();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM messages WHERE id = ?", [id])?;
        transaction.execute("DELETE FROM conversations WHERE id = ?", [id])?;
        transaction.commit()
    }

    /// Number of approved tool calls.
    #[cfg(test)]
    pub(crate) fn approved(&self) -> u64 {
        self.lock().query_row("SELECT count(*) FROM approved", [], |row| row.get(0)).unwrap()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
