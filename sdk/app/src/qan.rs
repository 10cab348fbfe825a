//! Questions, answers and notifications: an optional layer on the messages of a stream, the same both ways.
//!
//! [`Qan`] takes a stream and serves a [`Handler`]; [`Peer`] asks and notifies the client.
//!
//! What is asked and answered lives in this process only. A stream that was with another one before is
//! therefore reset (`QAN state lost`, not at application level): its client may be waiting for answers that nobody
//! will give. Questions are acknowledged when their handling has begun.

mod error;
mod peer;
mod pending_questions;

pub use error::{HandlerError, QuestionError};
pub use peer::Peer;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use minerva_proto::qan::QanFrame;

use crate::error::SendError;
use crate::event::{Ended, Event};
use crate::stream::{AppStream, Receiver};

/// Questions and notifications of one client that are being handled at once.
const MAX_CONCURRENT: usize = 1000;

/// Answers the client's questions and takes its notifications.
///
/// The futures of one stream run concurrently, in the task that serves it. Each is begun in the order in which the
/// messages came. One that panics answers as [`HandlerError::Unknown`].
pub trait Handler: Send + Sync {
    /// Answers a question. When the client cancels it the future is dropped.
    fn question(
        &self,
        peer: &Peer,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, HandlerError>> + Send;

    /// Takes a notification; by default it is ignored.
    fn notification(&self, peer: &Peer, body: Bytes) -> impl Future<Output = ()> + Send {
        let _ = (peer, body);
        async {}
    }
}

/// The QAN layer of one stream.
#[derive(Debug)]
pub struct Qan {
    receiver: Receiver,
    peer: Peer,
    /// Questions that are being handled, by number.
    in_progress: HashMap<u64, AbortHandle>,
    /// The stream was reset: its messages mean nothing any more.
    broken: bool,
}

/// What handling a message came to.
enum HandlerOutput {
    Question(u64, QanFrame),
    Notification,
}

impl Qan {
    /// Puts the layer onto a stream. Nothing of the stream may have been received before.
    pub fn new(stream: AppStream) -> Self {
        let lost = stream.first_event() > 0 || stream.first_send() > 0;
        let (receiver, sender) = stream.split();
        let peer = Peer::new(sender);
        let mut qan = Self { receiver, peer, in_progress: HashMap::new(), broken: false };
        if lost {
            qan.reset("QAN state lost", false);
        }
        qan
    }

    /// The client, to ask and to notify.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Serves the stream until it is over; gives how it ended, or nothing if it goes on elsewhere.
    ///
    /// What is no QAN frame, a question whose number is in use and an answer to no question reset the stream.
    pub async fn serve(mut self, handler: impl Handler) -> Option<Ended> {
        let peer = self.peer();
        let mut handled: FuturesUnordered<BoxFuture<'_, HandlerOutput>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                // What has come is begun before more is read.
                biased;
                Some(outcome) = handled.next() => self.on_output(outcome).await,
                event = self.receiver.next_event() => match event? {
                    Event::Message { message, .. } if !self.broken => {
                        if let Some(future) = self.on_message(&message, &handler, &peer, handled.len()) {
                            handled.push(future);
                        }
                    }
                    Event::Ended { ended, .. } => return Some(ended),
                    Event::Released => return None,
                    Event::Message { .. } | Event::TransportChanged(_) => {}
                },
            }
        }
    }

    fn on_message<'a>(
        &mut self,
        message: &[u8],
        handler: &'a impl Handler,
        peer: &'a Peer,
        handled: usize,
    ) -> Option<BoxFuture<'a, HandlerOutput>> {
        let Ok(frame) = QanFrame::parse(message) else {
            self.reset("Bad QAN frame.  Did peer send a non-QAN string?", true);
            return None;
        };
        match frame {
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
        body: Bytes,
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
        if let Err(error) = self.peer.sender().send(answer.encode()).await
            && error != SendError::Over
        {
            let stream = self.peer.sender().id().short_hash();
            tracing::error!(%stream, %error, "an answer cannot travel");
            let failure = unknown_error(number, "Uncaught exception");
            // If this fails the stream is over, and the next event tells it.
            let _ = self.peer.sender().send(failure.encode()).await;
        }
    }

    fn on_answer(&mut self, number: u64, answer: Result<Bytes, QuestionError>) {
        if self.peer.on_answer(number, answer).is_err() {
            self.protocol_error(&format!("Received an answer with invalid qid: {number}"));
        }
    }

    /// The original's words, which its clients show.
    fn protocol_error(&mut self, problem: &str) {
        self.reset(&format!("QANHelper said: {problem}"), true);
    }

    fn reset(&mut self, reason: &str, application_level: bool) {
        self.broken = true;
        self.peer.close();
        // The reasons here are short and plain.
        let _ = self.peer.sender().reset_as(reason, application_level);
    }
}

impl Drop for Qan {
    fn drop(&mut self) {
        self.peer.close();
    }
}

async fn run_question(handler: &impl Handler, peer: &Peer, number: u64, body: Bytes) -> QanFrame {
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

async fn run_notification(handler: &impl Handler, peer: &Peer, body: Bytes) -> HandlerOutput {
    let taken = async { handler.notification(peer, body).await };
    if AssertUnwindSafe(taken).catch_unwind().await.is_err() {
        let stream = peer.sender().id().short_hash();
        tracing::error!(%stream, "a notification's handler panicked");
    }
    HandlerOutput::Notification
}

fn unknown_error(number: u64, body: &'static str) -> QanFrame {
    QanFrame::UnknownError { number, body: Bytes::from_static(body.as_bytes()) }
}
