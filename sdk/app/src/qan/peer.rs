//! The asking side of QAN: questions and notifications to the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minerva_proto::qan::QanFrame;
use minerva_proto::{Message, MessageNumber};
use tokio::sync::oneshot;

use super::error::QuestionError;
use super::pending_questions::{Answer, PendingQuestions, UnexpectedAnswerError};
use crate::error::{SendError, TrySendError};
use crate::stream::Sender;

/// Sends questions and notifications to the client. Cheap to clone. See the [module](super) for an example.
#[derive(Debug, Clone)]
pub struct Peer {
    sender: Sender,
    /// Locked while a question gets its number and is queued, so that questions travel in number order. Never locked
    /// across an await.
    pending: Arc<Mutex<PendingQuestions>>,
}

impl Peer {
    /// For a stream to which earlier processes have made `first_send` sends.
    pub(super) fn new(sender: Sender, first_send: MessageNumber) -> Self {
        Self { sender, pending: Arc::new(Mutex::new(PendingQuestions::new(first_send.0))) }
    }

    /// Sends a question and waits for the answer. Dropping the future cancels the question. See the
    /// [module](super) for an example.
    ///
    /// # Errors
    /// [`QuestionError::Known`] and [`QuestionError::Unknown`] come from the client; with the others no
    /// answer will come.
    pub async fn ask(&self, body: impl Into<Message>) -> Result<Message, QuestionError> {
        let body = body.into();
        let (number, answer) = loop {
            // Created before the attempt, so no wake-up is lost in between.
            let room = self.sender.writable();
            match self.try_ask(&body)? {
                Some(asked) => break asked,
                None => room.await,
            }
        };
        let _asking = Asking { peer: self, number };
        tokio::select! {
            // An answer that has arrived counts also after a stop.
            biased;
            answer = answer => answer.unwrap_or(Err(QuestionError::Over)),
            () = self.sender.stopped() => Err(QuestionError::Over),
        }
    }

    /// Queues a question; `None` without room.
    fn try_ask(
        &self,
        body: &Message,
    ) -> Result<Option<(u64, oneshot::Receiver<Answer>)>, QuestionError> {
        let mut pending = self.pending();
        let (number, answer) = pending.begin()?;
        let question = QanFrame::Question { number, body: body.clone() }.encode();
        match self.sender.try_send_unpaused(question) {
            Ok(()) => {
                pending.on_sent(number);
                Ok(Some((number, answer)))
            }
            Err(error) => {
                pending.cancel(number);
                match error {
                    TrySendError::Full => Ok(None),
                    TrySendError::Refused(error) => Err(error.into()),
                }
            }
        }
    }

    /// Sends a notification, which has no answer. See the [module](super) for an example.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn notify(&self, body: impl Into<Message>) -> Result<(), SendError> {
        self.sender.send(QanFrame::Notify { body: body.into() }.encode()).await
    }

    /// Returns the sender of the stream, to end the stream or change settings. Messages sent directly
    /// must be QAN frames. See [`Sender`] for an example.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    pub(super) fn on_answer(
        &self,
        number: u64,
        answer: Answer,
    ) -> Result<(), UnexpectedAnswerError> {
        self.pending().on_answer(number, answer)
    }

    pub(super) fn close(&self) {
        self.pending().close();
    }

    fn pending(&self) -> MutexGuard<'_, PendingQuestions> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels the question when dropped before the answer.
struct Asking<'a> {
    peer: &'a Peer,
    number: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let was_sent = self.peer.pending().cancel(self.number);
        if was_sent {
            // Best effort: without room the client answers in vain.
            let cancel = QanFrame::Cancel { number: self.number }.encode();
            let _ = self.peer.sender.try_send(cancel);
        }
    }
}
