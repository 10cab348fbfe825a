//! A client that keeps questions open, answers those of the program, and compares every answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use minerva_client::{Config, Message, Stream, TransportKind};
use minerva_faults::random::Random;
use minerva_proto::qan::QanFrame;
use tokio::sync::watch;

/// Open questions of a client.
const OPEN: usize = 5;
/// Longest delay of an answer in milliseconds.
const MAX_DELAY: u64 = 40;

/// A stream with QAN.
pub(super) struct Client {
    stream: Stream,
    random: Random,
    state: State,
}

/// The questions of both sides.
#[derive(Debug, Default)]
struct State {
    open: BTreeSet<u64>,
    last: u64,
    /// Number of the last question of the program.
    last_asked: u64,
    outcome: Outcome,
}

/// The results of one client or of all.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) right: u64,
    pub(super) interrupted: u64,
    /// Second answers `interrupted` to questions that were answered out of order before a kill; clients ignore them.
    pub(super) ignored: u64,
    /// Second right answers: the question has run again.
    pub(super) again: u64,
    /// Questions of the program.
    pub(super) asked: BTreeSet<String>,
}

impl Client {
    pub(super) fn connect(
        address: SocketAddr,
        transport: TransportKind,
        random: Random,
    ) -> anyhow::Result<Self> {
        let stream = Stream::connect(Config::new(address.to_string(), transport))?;
        Ok(Self { stream, random, state: State::default() })
    }

    /// Asks until `stopped`, and then a last question, which needs a right answer.
    pub(super) async fn run(
        mut self,
        counter: watch::Sender<u64>,
        mut stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<Outcome> {
        while !*stopped.borrow_and_update() {
            while self.state.open.len() < OPEN {
                self.ask().await?;
            }
            let before = self.state.outcome.right;
            self.receive().await?;
            counter.send_modify(|right| *right += self.state.outcome.right - before);
        }
        while !self.state.open.is_empty() {
            self.receive().await?;
        }
        let before = self.state.outcome.right;
        self.ask().await?;
        while !self.state.open.is_empty() {
            self.receive().await?;
        }
        ensure!(self.state.outcome.right == before + 1, "the last question was interrupted");
        self.stream.reset("done");
        self.stream.closed().await;
        Ok(self.state.outcome)
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let delay = self.random.between(0, MAX_DELAY);
        let question = self.state.ask(delay);
        self.stream.queue(question.encode()).await?;
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let message = self.stream.recv().await;
        let message = message.with_context(|| format!("ended: {:?}", self.stream.ended()))?;
        if let Some(answer) = self.state.on_frame(QanFrame::parse(&message)?)? {
            self.stream.queue(answer.encode()).await?;
        }
        Ok(())
    }
}

impl State {
    /// Opens a question.
    fn ask(&mut self, delay: u64) -> QanFrame {
        self.last += 1;
        let body = format!("{delay}:{}", question(self.last)).into();
        self.open.insert(self.last);
        QanFrame::Question { number: self.last, body }
    }

    /// Closes a question; returns whether the question was open.
    fn close(&mut self, number: u64) -> anyhow::Result<bool> {
        ensure!((1..=self.last).contains(&number), "an answer to {number}, which was not asked");
        Ok(self.open.remove(&number))
    }

    /// Checks a frame of the program, and returns the answer to a question.
    fn on_frame(&mut self, frame: QanFrame) -> anyhow::Result<Option<QanFrame>> {
        match frame {
            QanFrame::Okay { number, body } => {
                let is_first = self.close(number)?;
                ensure!(text(&body) == question(number), "{body:?} answers {number}");
                let count = &mut self.outcome;
                *(if is_first { &mut count.right } else { &mut count.again }) += 1;
            }
            QanFrame::UnknownError { number, body } => {
                let is_first = self.close(number)?;
                ensure!(text(&body) == "interrupted", "question {number} failed: {body:?}");
                let count = &mut self.outcome;
                *(if is_first { &mut count.interrupted } else { &mut count.ignored }) += 1;
            }
            QanFrame::Question { number, body } => {
                ensure!(number > self.last_asked, "{number} after {}", self.last_asked);
                self.last_asked = number;
                ensure!(self.outcome.asked.insert(text(&body).to_owned()), "asked {body:?} twice");
                return Ok(Some(QanFrame::Okay { number, body }));
            }
            frame @ (QanFrame::KnownError { .. }
            | QanFrame::Cancel { .. }
            | QanFrame::Notify { .. }) => bail!("unexpected: {frame:?}"),
        }
        Ok(None)
    }
}

/// Text of a question, and the right answer.
fn question(number: u64) -> String {
    format!("question {number}")
}

fn text(body: &Message) -> &str {
    body.as_text().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_and_second_answers_are_detected() {
        let okay = |number, body: &str| QanFrame::Okay { number, body: body.into() };
        let failed = |number, body: &str| QanFrame::UnknownError { number, body: body.into() };
        let mut state = State::default();
        for _ in 0..3 {
            state.ask(7);
        }
        assert!(state.on_frame(okay(4, "question 4")).is_err());
        assert!(state.on_frame(okay(1, "question 2")).is_err());
        assert!(state.on_frame(failed(1, "Uncaught exception")).is_err());
        for number in [2, 3] {
            assert!(state.on_frame(okay(number, &question(number))).is_ok());
        }
        assert!(state.on_frame(failed(2, "interrupted")).is_ok());
        assert!(state.on_frame(okay(3, "question 3")).is_ok());
        state.ask(7);
        assert!(state.on_frame(failed(4, "interrupted")).is_ok());
        let Outcome { right, interrupted, ignored, again, .. } = state.outcome;
        assert_eq!((right, interrupted, ignored, again), (2, 1, 1, 1));
    }

    #[test]
    fn a_repeated_question_is_detected() {
        let question = |number, body: &str| QanFrame::Question { number, body: body.into() };
        let mut state = State::default();
        assert!(matches!(state.on_frame(question(1, "a")), Ok(Some(QanFrame::Okay { .. }))));
        assert!(state.on_frame(question(1, "b")).is_err());
        assert!(state.on_frame(question(2, "a")).is_err());
        assert!(state.on_frame(question(3, "c")).is_ok());
    }
}
