//! The open questions of one side of a stream. Pure except for the channels that carry the answers.

use std::collections::BTreeMap;

use minerva_proto::Message;
use tokio::sync::oneshot;

use super::error::QuestionError;

/// Most open questions, cancelled ones included, so that a client which never answers costs bounded memory.
pub(super) const MAX_PENDING: usize = 1000;

/// The outcome of a question.
pub(super) type Answer = Result<Message, QuestionError>;

/// The open questions of one stream.
#[derive(Debug)]
pub(super) struct PendingQuestions {
    /// Questions up to this number may have been sent by an earlier process, which had one send for each at least.
    earlier: u64,
    /// Number of the next question, from 1.
    next: u64,
    /// By number; at most [`MAX_PENDING`]. `None` after a cancellation, while the answer is outstanding.
    waiting: BTreeMap<u64, Option<oneshot::Sender<Answer>>>,
    closed: bool,
}

/// An answer without an open question: fatal for the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnexpectedAnswerError;

impl PendingQuestions {
    /// For a stream to which earlier processes have made `earlier` sends.
    pub(super) fn new(earlier: u64) -> Self {
        Self { earlier, next: earlier + 1, waiting: BTreeMap::new(), closed: false }
    }

    /// Opens a question, which counts once [`Self::on_sent`] is called.
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

    /// Cancels a question. Returns whether the client must be notified.
    pub(super) fn cancel(&mut self, number: u64) -> bool {
        if number >= self.next {
            // Never sent.
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
        if number <= self.earlier {
            return Ok(());
        }
        if let Some(waiting) = self.waiting.remove(&number).ok_or(UnexpectedAnswerError)? {
            // No receiver is left if the question is being cancelled.
            let _ = waiting.send(answer);
        }
        Ok(())
    }

    /// Fails all open questions and all later ones.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn okay() -> Answer {
        Ok("a".into())
    }

    #[test]
    fn a_question_has_one_answer() {
        let mut questions = PendingQuestions::new(0);
        let (number, mut answer) = questions.begin().unwrap();
        assert_eq!(number, 1);
        questions.on_sent(number);
        assert_eq!(questions.on_answer(1, okay()), Ok(()));
        assert_eq!(answer.try_recv().unwrap(), okay());
        assert_eq!(questions.on_answer(1, okay()), Err(UnexpectedAnswerError));
        assert_eq!(questions.on_answer(2, okay()), Err(UnexpectedAnswerError));
    }

    #[test]
    fn the_answer_to_a_cancelled_question_is_ignored_once() {
        let mut questions = PendingQuestions::new(0);
        let (number, _answer) = questions.begin().unwrap();
        questions.on_sent(number);
        assert!(questions.cancel(number));
        assert!(!questions.cancel(number));
        assert_eq!(questions.on_answer(number, okay()), Ok(()));
        assert_eq!(questions.on_answer(number, okay()), Err(UnexpectedAnswerError));
    }

    #[test]
    fn an_unsent_question_frees_its_number() {
        let mut questions = PendingQuestions::new(0);
        let (number, _answer) = questions.begin().unwrap();
        assert!(!questions.cancel(number));
        assert_eq!(questions.begin().unwrap().0, number);
    }

    #[test]
    fn open_questions_are_bounded() {
        let mut questions = PendingQuestions::new(0);
        for _ in 0..MAX_PENDING {
            let (number, _answer) = questions.begin().unwrap();
            questions.on_sent(number);
            questions.cancel(number);
        }
        assert_eq!(questions.begin().unwrap_err(), QuestionError::TooMany);
        questions.on_answer(7, okay()).unwrap();
        assert_eq!(questions.begin().unwrap().0, MAX_PENDING as u64 + 1);
    }

    #[test]
    fn answers_to_an_earlier_process_are_ignored() {
        let mut questions = PendingQuestions::new(3);
        let (number, _answer) = questions.begin().unwrap();
        assert_eq!(number, 4);
        questions.on_sent(number);
        for (number, expected) in
            [(1, Ok(())), (3, Ok(())), (4, Ok(())), (4, Err(UnexpectedAnswerError))]
        {
            assert_eq!(questions.on_answer(number, okay()), expected, "{number}");
        }
    }

    #[test]
    fn closing_fails_open_questions() {
        let mut questions = PendingQuestions::new(0);
        let (number, mut answer) = questions.begin().unwrap();
        questions.on_sent(number);
        questions.close();
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(questions.begin().unwrap_err(), QuestionError::Over);
    }
}
