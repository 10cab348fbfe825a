//! The questions that this side has asked and that are not answered. Pure but for the channel that carries
//! an answer to whoever waits for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::QuestionError;

/// Questions without an answer at once, the cancelled ones included: a peer that never answers must not cost
/// more.
pub(super) const MAX_PENDING: usize = 1000;

/// What came back for a question.
pub(super) type Answer = Result<Bytes, QuestionError>;

/// The questions of one side of one stream.
#[derive(Debug)]
pub(super) struct PendingQuestions {
    /// Number of the next question; counts from 1.
    next: u64,
    /// By number; at most [`MAX_PENDING`]. `None`: nobody waits any more, but the answer still comes.
    waiting: BTreeMap<u64, Option<oneshot::Sender<Answer>>>,
    closed: bool,
}

/// An answer to a question that was not asked, or was answered before: fatal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnexpectedAnswerError;

impl PendingQuestions {
    pub(super) fn new() -> Self {
        Self { next: 1, waiting: BTreeMap::new(), closed: false }
    }

    /// Makes a question; it counts once [`Self::on_sent`] says so.
    pub(super) fn begin(&mut self) -> Result<(u64, oneshot::Receiver<Answer>), QuestionError> {
        if self.closed {
            return Err(QuestionError::Over);
        }
        if self.waiting.len() >= MAX_PENDING {
            return Err(QuestionError::TooMany);
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(self.next, Some(sender));
        Ok((self.next, receiver))
    }

    pub(super) fn on_sent(&mut self, number: u64) {
        self.next = number + 1;
    }

    /// Nobody waits for the answer. Gives whether the peer is to be told.
    pub(super) fn cancel(&mut self, number: u64) -> bool {
        if number >= self.next {
            // It was never sent.
            self.waiting.remove(&number);
            return false;
        }
        self.waiting.get_mut(&number).and_then(Option::take).is_some()
    }

    pub(super) fn on_answer(
        &mut self,
        number: u64,
        answer: Answer,
    ) -> Result<(), UnexpectedAnswerError> {
        if let Some(waiting) = self.waiting.remove(&number).ok_or(UnexpectedAnswerError)? {
            // Nobody waits if it is being cancelled right now.
            let _ = waiting.send(answer);
        }
        Ok(())
    }

    /// No answer will come: whoever waits is told.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn okay() -> Answer {
        Ok(Bytes::from_static(b"a"))
    }

    #[test]
    fn an_answer_comes_once() {
        let mut asked = PendingQuestions::new();
        let (number, mut answer) = asked.begin().unwrap();
        assert_eq!(number, 1);
        asked.on_sent(number);
        assert_eq!(asked.on_answer(1, okay()), Ok(()));
        assert_eq!(answer.try_recv().unwrap(), okay());
        assert_eq!(asked.on_answer(1, okay()), Err(UnexpectedAnswerError));
        assert_eq!(asked.on_answer(2, okay()), Err(UnexpectedAnswerError));
    }

    #[test]
    fn the_answer_to_a_cancelled_question_is_ignored_once() {
        let mut asked = PendingQuestions::new();
        let (number, _answer) = asked.begin().unwrap();
        asked.on_sent(number);
        assert!(asked.cancel(number));
        assert!(!asked.cancel(number));
        assert_eq!(asked.on_answer(number, okay()), Ok(()));
        assert_eq!(asked.on_answer(number, okay()), Err(UnexpectedAnswerError));
    }

    #[test]
    fn a_question_that_was_not_sent_leaves_its_number() {
        let mut asked = PendingQuestions::new();
        let (number, _answer) = asked.begin().unwrap();
        assert!(!asked.cancel(number));
        assert_eq!(asked.begin().unwrap().0, number);
    }

    #[test]
    fn bounded() {
        let mut asked = PendingQuestions::new();
        for _ in 0..MAX_PENDING {
            let (number, _answer) = asked.begin().unwrap();
            asked.on_sent(number);
            asked.cancel(number);
        }
        assert_eq!(asked.begin().unwrap_err(), QuestionError::TooMany);
        asked.on_answer(7, okay()).unwrap();
        assert_eq!(asked.begin().unwrap().0, MAX_PENDING as u64 + 1);
    }

    #[test]
    fn closing_tells_who_waits() {
        let mut asked = PendingQuestions::new();
        let (number, mut answer) = asked.begin().unwrap();
        asked.on_sent(number);
        asked.close();
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(asked.begin().unwrap_err(), QuestionError::Over);
    }
}
