//! The asking side of QAN: questions and notifications to the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use minerva_proto::qan::QanFrame;

use super::error::QuestionError;
use super::pending_questions::{Answer, PendingQuestions, UnexpectedAnswerError};
use crate::error::SendError;
use crate::stream::Sender;

/// The client, as one to ask and to notify. Cheap to clone, for use anywhere.
#[derive(Debug, Clone)]
pub struct Peer {
    sender: Sender,
    questions: Arc<Questions>,
}

#[derive(Debug)]
struct Questions {
    asked: Mutex<PendingQuestions>,
    /// Held while a question waits to be sent, so that questions go in the order of their numbers.
    turn: tokio::sync::Mutex<()>,
}

impl Peer {
    pub(super) fn new(sender: Sender) -> Self {
        let (asked, turn) = (Mutex::new(PendingQuestions::new()), tokio::sync::Mutex::new(()));
        Self { sender, questions: Arc::new(Questions { asked, turn }) }
    }

    /// Asks the client and waits for its answer. Dropping the future cancels the question.
    ///
    /// # Errors
    /// [`QuestionError::Known`] and [`QuestionError::Unknown`] are the client's; the others tell that no answer will come.
    pub async fn ask(&self, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let turn = self.questions.turn.lock().await;
        let (number, answer) = self.asked().begin()?;
        let _asking = Asking { peer: self, number };
        self.sender.send(QanFrame::Question { number, body }.encode()).await?;
        self.asked().on_sent(number);
        drop(turn);
        answer.await.unwrap_or(Err(QuestionError::Over))
    }

    /// Tells the client something that needs no answer.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn notify(&self, body: impl Into<Bytes>) -> Result<(), SendError> {
        self.sender.send(QanFrame::Notify { body: body.into() }.encode()).await
    }

    /// The stream's sender, to end the stream or change its limits. Messages sent over it must be QAN frames.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    pub(super) fn on_answer(
        &self,
        number: u64,
        answer: Answer,
    ) -> Result<(), UnexpectedAnswerError> {
        self.asked().on_answer(number, answer)
    }

    pub(super) fn close(&self) {
        self.asked().close();
    }

    fn asked(&self) -> MutexGuard<'_, PendingQuestions> {
        self.questions.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way; dropping it before the answer cancels it.
struct Asking<'a> {
    peer: &'a Peer,
    number: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let tell = self.peer.asked().cancel(self.number);
        if tell {
            // Without room the client is left to answer for nothing.
            let cancel = QanFrame::Cancel { number: self.number }.encode();
            let _ = self.peer.sender.try_send(cancel);
        }
    }
}
