//! Answers of several messages over a death of the process: the parts that were sent before are not sent again.

use minerva_proto::{EventNumber, Message, MessageNumber};

use super::AppStream;
use crate::error::SendError;

impl AppStream {
    /// Returns the number of the next message to this stream, [`Self::first_send`] plus one for each message that was
    /// queued here; `None` if the stream is over. See [`Self::answer_parts`] for an example.
    pub fn next_send(&self) -> Option<MessageNumber> {
        self.sender.shared.next_send(&self.sender.cell).ok()
    }

    /// Queues an answer of several messages; the last one acknowledges the event, as [`Self::answer`] does. `first` is the
    /// number of the first part, which the app stores before with the effects of the event. If an earlier process has
    /// sent some parts, these are skipped.
    ///
    /// The answer to an event must be the same at each delivery, and nothing else may be sent to the stream between the
    /// parts.
    ///
    /// ```no_run
    /// # fn stored(_event: minerva_app::EventNumber) -> Option<minerva_app::MessageNumber> { None }
    /// # fn store(_event: minerva_app::EventNumber, _first: minerva_app::MessageNumber) {}
    /// # async fn example(mut stream: minerva_app::AppStream) -> Result<(), minerva_app::SendError> {
    /// use minerva_app::Event;
    ///
    /// stream.acknowledge_manually();
    /// while let Some(event) = stream.next_event().await {
    ///     if let Event::Message { event, .. } = event {
    ///         let Some(first) = stored(event).or_else(|| stream.next_send()) else { break };
    ///         store(event, first); // durable, in one transaction with the effects of the event
    ///         stream.answer_parts(event, first, ["one", "two", "three"]).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub async fn answer_parts<S: Into<Message>>(
        &self,
        event: impl Into<EventNumber>,
        first: impl Into<MessageNumber>,
        parts: impl IntoIterator<Item = S>,
    ) -> Result<(), SendError> {
        let (event, first) = (event.into(), first.into());
        let sent = self.first_send().checked_sub(first).unwrap_or_default();
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        let mut parts = parts.into_iter().map(Into::into).skip(sent);
        let Some(mut part) = parts.next() else {
            self.acknowledge(event);
            return Ok(());
        };
        for next in parts {
            self.send(std::mem::replace(&mut part, next)).await?;
        }
        self.answer(event, part).await
    }
}
