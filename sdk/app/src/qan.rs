//! QAN: questions, answers and notifications over the messages of a stream, the same in both directions.
//! Optional.
//!
//! A body is text or binary, as the message that carries the body. Binary bodies, and text outside of 0x20-0x7E, need a
//! client that accepts them: see [`Accepts`](crate::Accepts).
//!
//! [`Qan`] takes a stream and serves a [`Handler`]. [`Peer`] sends questions and notifications to the client.
//!
//! A stream survives the death of this process: the next one answers the questions that were open, and those that were
//! delivered and not begun, with the unknown error `interrupted`. Answers to questions of the dead process are ignored.
//! Notifications that were delivered and not acknowledged are handled again. A question that is open for more than 30 s,
//! or with more than 100 messages or 64 KiB behind it, is acknowledged before its answer: after a death of the process
//! it has no answer.
//!
//! A question runs at most once if the core has counted the death of the process for the stream. Otherwise the next
//! process may run an open question again, so a question with effects needs to be idempotent:
//!
//! - The process stopped in order while the outbox of the stream had no room for `interrupted`.
//! - The process and the core died together.
//! - The core blamed the death on another stream.
//! - An ack timeout moved the stream to another instance.
//!
//! Questions are held for up to 30 s, so an ack timeout ([`Sender::set_ack_timeout`](crate::Sender::set_ack_timeout), or
//! `--ack-timeout` of the cores) must be above 60 s. Shorter ones move or end streams whose questions take long.
//!
//! ```no_run
//! use minerva_app::qan::{Handler, HandlerError, Peer, Qan};
//! use minerva_app::{AppStream, Ended, Message};
//!
//! struct Adder;
//!
//! impl Handler for Adder {
//!     async fn question(&self, peer: &Peer, body: Message) -> Result<Message, HandlerError> {
//!         let Some((a, b)) = body.as_text().and_then(|text| text.split_once('+')) else {
//!             return Err(HandlerError::Known("send a sum".into()));
//!         };
//!         peer.notify("adding").await?;
//!         Ok((a.parse::<i64>()? + b.parse::<i64>()?).to_string().into())
//!     }
//! }
//!
//! async fn serve(stream: AppStream) -> Option<Ended> {
//!     let qan = Qan::new(stream);
//!     let peer = qan.peer();
//!     tokio::spawn(async move {
//!         let answer = peer.ask("which version?").await;
//!         println!("{answer:?}");
//!     });
//!     qan.serve(Adder).await
//! }
//! ```

mod error;
mod peer;
mod pending_questions;
mod unanswered;

pub use error::{HandlerError, QuestionError};
pub use peer::Peer;

use std::collections::HashMap;
use std::future::{Future, Ready, pending, ready};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use minerva_proto::qan::QanFrame;
use minerva_proto::{EventNumber, Message, Utf8Bytes};
use tokio::time::{Instant, sleep_until};

use self::unanswered::Unanswered;
use crate::clock;
use crate::error::SendError;
use crate::event::{Ended, Event};
use crate::stream::{AppStream, Receiver};

/// Most questions and notifications of one client handled concurrently.
const MAX_CONCURRENT: usize = 1000;

/// Error of a question that was delivered to a process that has died or stopped before the answer.
const INTERRUPTED: &str = "interrupted";

/// Answers the questions and receives the notifications of a client. See the [module](self) for an example.
///
/// The futures of one stream run concurrently in the task of [`Qan::serve`], started in message order. A
/// panic answers the question with [`HandlerError::Unknown`].
pub trait Handler: Send + Sync {
    /// Answers a question. The future is dropped when the client cancels the question. See the [module](self)
    /// for an example.
    fn question(
        &self,
        peer: &Peer,
        body: Message,
    ) -> impl Future<Output = Result<Message, HandlerError>> + Send;

    /// Handles a notification; ignored by default. See the [module](self) for an example of a handler.
    fn notification(&self, peer: &Peer, body: Message) -> impl Future<Output = ()> + Send {
        let _ = (peer, body);
        async {}
    }
}

/// The QAN layer of one stream. See the [module](self) for an example.
#[derive(Debug)]
pub struct Qan {
    receiver: Receiver,
    peer: Peer,
    /// Questions in progress, by number.
    in_progress: HashMap<u64, AbortHandle>,
    /// Events that are not acknowledged.
    unanswered: Unanswered,
    /// The stream was reset: later messages are ignored.
    broken: bool,
}

/// A message of the client.
struct Delivery {
    event: EventNumber,
    message: Message,
    /// A process that has died had the message before.
    is_repeated: bool,
}

/// The result of a handler future.
enum HandlerOutput {
    Question(u64, QanFrame),
    Notification,
}

impl Qan {
    /// Adds QAN to a stream from which nothing was received yet. See the [module](self) for an example.
    pub fn new(stream: AppStream) -> Self {
        let first_send = stream.first_send();
        let (mut receiver, sender) = stream.split();
        receiver.acknowledge_manually();
        let unanswered = Unanswered::new(receiver.window());
        let (peer, in_progress) = (Peer::new(sender, first_send), HashMap::new());
        Self { receiver, peer, in_progress, unanswered, broken: false }
    }

    /// Returns the sender of questions and notifications. See the [module](self) for an example.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Serves the stream until the end; `None` if the stream moves to another instance. See the
    /// [module](self) for an example.
    ///
    /// An invalid frame, a question with a number in use, or an answer without a question resets the stream.
    pub async fn serve(mut self, handler: impl Handler) -> Option<Ended> {
        let peer = self.peer();
        if self.receiver.is_at_start() {
            self.receiver.acknowledge(EventNumber(0));
        }
        let mut handled: FuturesUnordered<BoxFuture<'_, HandlerOutput>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                // Finished futures first, so that no more messages are read than handled.
                biased;
                Some(outcome) = handled.next() => self.on_output(outcome).await,
                event = self.receiver.next_event() => match event? {
                    Event::Message { event, message, attempts } if !self.broken => {
                        let is_repeated = attempts.is_some_and(|attempts| attempts > 1);
                        let delivery = Delivery { event, message, is_repeated };
                        if let Some(future) = self.on_message(&delivery, &handler, &peer, handled.len()) {
                            handled.push(future);
                        }
                    }
                    Event::Ended { ended, .. } => return Some(ended),
                    Event::Released => {
                        self.interrupt_all();
                        return None;
                    }
                    Event::Message { event, .. } => self.receiver.acknowledge(event),
                    Event::Rejoined { event, .. } if self.broken => self.receiver.acknowledge(event),
                    Event::Rejoined { event, .. } => {
                        let due = self.unanswered.on_other(event, 0, clock::now());
                        self.acknowledge(due);
                    }
                    Event::TransportChanged(_) | Event::Renewed { .. } => {}
                },
                now = until(self.unanswered.deadline()) => {
                    let due = self.unanswered.on_time(now);
                    self.acknowledge(due);
                }
            }
        }
    }

    /// Answers all questions in progress as failed, because their futures end here. At an orderly stop the answers
    /// become durable; if another instance has the stream they have no effect.
    fn interrupt_all(&mut self) {
        let numbers: Vec<u64> = self.in_progress.drain().map(|(number, _)| number).collect();
        for number in numbers {
            self.interrupt(number);
        }
    }

    fn interrupt(&mut self, number: u64) {
        // Without room the question stays unacknowledged, and the next instance answers it.
        if self.peer.sender().try_send(unknown_error(number, INTERRUPTED).encode()).is_ok() {
            let due = self.unanswered.on_answered(number);
            self.acknowledge(due);
        }
    }

    fn acknowledge(&self, due: Option<EventNumber>) {
        if let Some(event) = due {
            self.receiver.acknowledge(event);
        }
    }

    fn on_message<'a>(
        &mut self,
        delivery: &Delivery,
        handler: &'a impl Handler,
        peer: &'a Peer,
        handled: usize,
    ) -> Option<BoxFuture<'a, HandlerOutput>> {
        let Delivery { event, message, is_repeated } = delivery;
        let Ok(frame) = QanFrame::parse(message) else {
            self.reset("Bad QAN frame.  Did peer send a non-QAN string?", true);
            return None;
        };
        let now = clock::now();
        let due = if let QanFrame::Question { number, .. } = frame {
            self.unanswered.on_question(*event, number, message.len(), now)
        } else {
            self.unanswered.on_other(*event, message.len(), now)
        };
        self.acknowledge(due);
        match frame {
            QanFrame::Question { number, .. } if *is_repeated => {
                return Some(interrupted(number).boxed());
            }
            QanFrame::Question { number, body } => {
                return self.on_question(number, body, handler, peer, handled);
            }
            QanFrame::Notify { body } if handled < MAX_CONCURRENT => {
                return Some(run_notification(handler, peer, body).boxed());
            }
            QanFrame::Notify { .. } => self.reset("too many notifications at once", true),
            QanFrame::Okay { number, body } => self.on_answer(number, Ok(body)),
            QanFrame::KnownError { number, body } => {
                self.on_answer(number, Err(QuestionError::Known(body)));
            }
            QanFrame::UnknownError { number, body } => {
                self.on_answer(number, Err(QuestionError::Unknown(body)));
            }
            QanFrame::Cancel { number } => {
                if let Some(handle) = self.in_progress.get(&number) {
                    handle.abort();
                }
            }
        }
        None
    }

    fn on_question<'a>(
        &mut self,
        number: u64,
        body: Message,
        handler: &'a impl Handler,
        peer: &'a Peer,
        handled: usize,
    ) -> Option<BoxFuture<'a, HandlerOutput>> {
        if self.in_progress.contains_key(&number) {
            self.protocol_error(&format!("Received Question with duplicate qid: {number}"));
            return None;
        }
        if handled >= MAX_CONCURRENT {
            let refusal = unknown_error(number, "Too many questions");
            return Some(async move { HandlerOutput::Question(number, refusal) }.boxed());
        }
        let (answer, handle) = abortable(run_question(handler, peer, number, body));
        self.in_progress.insert(number, handle);
        let answer = answer
            .map(move |answer| answer.unwrap_or_else(|_| unknown_error(number, "CancelledError")));
        Some(answer.map(move |answer| HandlerOutput::Question(number, answer)).boxed())
    }

    async fn on_output(&mut self, outcome: HandlerOutput) {
        let HandlerOutput::Question(number, answer) = outcome else { return };
        self.in_progress.remove(&number);
        let due = self.unanswered.on_answered(number);
        if let Err(error) = self.send_answer(answer, due).await
            && error != SendError::Over
        {
            let stream = self.peer.sender().id().short_hash();
            tracing::error!(%stream, %error, "an answer is not a valid message");
            // A failure means that the stream is over; the next event reports the end.
            let _ = self.send_answer(unknown_error(number, "Uncaught exception"), due).await;
        }
    }

    /// Sends an answer, and acknowledges the due event in the same durable step.
    async fn send_answer(
        &self,
        answer: QanFrame,
        due: Option<EventNumber>,
    ) -> Result<(), SendError> {
        match due {
            Some(event) => self.peer.sender().answer(event, answer.encode()).await,
            None => self.peer.sender().send(answer.encode()).await,
        }
    }

    fn on_answer(&mut self, number: u64, answer: Result<Message, QuestionError>) {
        if self.peer.on_answer(number, answer).is_err() {
            self.protocol_error(&format!("Received an answer with invalid qid: {number}"));
        }
    }

    /// Resets with the wording of the original protocol, which original clients display.
    fn protocol_error(&mut self, problem: &str) {
        self.reset(&format!("QANHelper said: {problem}"), true);
    }

    fn reset(&mut self, reason: &str, application_level: bool) {
        self.broken = true;
        self.peer.close();
        // The reasons used here are valid.
        let _ = self.peer.sender().reset_as(reason, application_level);
    }
}

impl Drop for Qan {
    fn drop(&mut self) {
        self.peer.close();
    }
}

async fn run_question(handler: &impl Handler, peer: &Peer, number: u64, body: Message) -> QanFrame {
    let answer = async { handler.question(peer, body).await };
    let stream = || peer.sender().id().short_hash();
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(body)) => QanFrame::Okay { number, body },
        Ok(Err(HandlerError::Known(body))) => QanFrame::KnownError { number, body },
        Ok(Err(HandlerError::Unknown(error))) => {
            tracing::warn!(stream = %stream(), %error, "a question failed");
            unknown_error(number, "Uncaught exception")
        }
        Err(_) => {
            tracing::error!(stream = %stream(), "a question's handler panicked");
            unknown_error(number, "Uncaught exception")
        }
    }
}

async fn run_notification(handler: &impl Handler, peer: &Peer, body: Message) -> HandlerOutput {
    let taken = async { handler.notification(peer, body).await };
    if AssertUnwindSafe(taken).catch_unwind().await.is_err() {
        let stream = peer.sender().id().short_hash();
        tracing::error!(%stream, "a notification's handler panicked");
    }
    HandlerOutput::Notification
}

/// The answer to a question that a dead process may have begun.
fn interrupted(number: u64) -> Ready<HandlerOutput> {
    ready(HandlerOutput::Question(number, unknown_error(number, INTERRUPTED)))
}

/// Waits until a deadline, for ever without one. Returns the time.
async fn until(deadline: Option<Instant>) -> Instant {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
    clock::now()
}

fn unknown_error(number: u64, body: &'static str) -> QanFrame {
    QanFrame::UnknownError { number, body: Utf8Bytes::from_static(body).into() }
}
