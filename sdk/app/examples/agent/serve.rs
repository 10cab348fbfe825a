//! The handler of one stream: stores each change first, then acknowledges the event and sends the messages.
//!
//! After the death of a process the next handler reads the conversation, sends the stored messages that the core does not
//! have, and lets the model continue.

use std::time::{Duration, UNIX_EPOCH};

use minerva_app::{AppStream, Event, Retention, Sender};

use crate::conversation::{Conversation, Effects};
use crate::store::Store;

/// Pause of the fake model before each step.
const STEP_TIME: Duration = Duration::from_millis(40);
/// How long a conversation waits for a page that is closed.
const MAX_IDLE: Duration = Duration::from_secs(12 * 3600);
/// The messages that a reloaded page gets again.
const RETENTION: Retention =
    Retention { messages: 10_000, bytes: 1 << 20, age: MAX_IDLE, hold: false };

/// Serves one stream to the end.
pub(crate) async fn serve(mut stream: AppStream, store: Store) -> anyhow::Result<()> {
    stream.acknowledge_manually();
    stream.set_max_idle(MAX_IDLE);
    stream.set_retention(RETENTION);
    let mut handler = Handler::open(&stream, store)?;
    if stream.first_send().0 > handler.conversation.next_message {
        // The database was restored from a backup: it lacks messages that the client has.
        stream.reset("conversation lost")?;
        return Ok(());
    }
    for message in handler.store.messages_from(&handler.id, stream.first_send().0)? {
        handler.sender.send_json(&message).await?;
    }
    loop {
        tokio::select! {
            event = stream.next_event() => match event {
                Some(Event::Message { event, message, .. }) => {
                    handler.change(|state| state.on_message(event.0, message.as_bytes())).await?;
                    stream.acknowledge(event);
                }
                // The page has the retained messages; nothing else depends on a reload.
                Some(Event::Rejoined { event, .. }) => stream.acknowledge(event),
                Some(Event::Ended { event, .. }) => {
                    handler.store.delete(&handler.id)?;
                    stream.acknowledge(event);
                }
                Some(_) => {}
                None => return Ok(()),
            },
            ready = handler.next_step(), if handler.conversation.is_working() => {
                ready?;
                handler.change(Conversation::step).await?;
            }
        }
    }
}

struct Handler {
    id: String,
    store: Store,
    sender: Sender,
    conversation: Conversation,
}

impl Handler {
    fn open(stream: &AppStream, store: Store) -> anyhow::Result<Self> {
        // After a rollback of the core's store a number can be assigned again, with another time.
        let started = stream.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{}@{}", stream.number(), started.as_millis());
        let conversation = store.load(&id)?;
        Ok(Self { id, store, sender: stream.sender(), conversation })
    }

    /// Waits for the model, and first for a slow client: a step without room for its message would only wait.
    async fn next_step(&self) -> anyhow::Result<()> {
        self.sender.ready().await?;
        tokio::time::sleep(STEP_TIME).await;
        Ok(())
    }

    /// Makes a change durable, then sends its messages.
    async fn change(
        &mut self,
        change: impl FnOnce(&mut Conversation) -> Effects,
    ) -> anyhow::Result<()> {
        let before = self.conversation.clone();
        let effects = change(&mut self.conversation);
        if self.conversation != before {
            self.store.commit(&self.id, &before, &self.conversation, &effects)?;
        }
        for message in effects.messages {
            self.sender.send_json(&message).await?;
        }
        Ok(())
    }
}
