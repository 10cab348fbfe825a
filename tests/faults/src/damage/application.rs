//! The application of a round: a new instance without memory, which checks each event against the list.

use std::sync::{Arc, Mutex, PoisonError};

use minerva_app::{AppStream, Event};

use super::history::{History, echo, listed, probe};
use crate::app::{self, RunId};
use crate::message::{self, Direction};

/// The application's view of a stream in a round.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) started: bool,
    /// The probe has arrived.
    pub(super) probed: bool,
    /// Messages that the dead application sent are missing without a report.
    pub(super) silent: bool,
    /// Reasons of the received ends.
    pub(super) ends: Vec<String>,
    /// A message that is not the listed one.
    pub(super) wrong: Option<String>,
}

pub(super) struct Application {
    pub(super) round: u64,
    pub(super) histories: Arc<Vec<History>>,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// Credentials of received streams that are not in the list.
    unlisted: Mutex<Vec<String>>,
}

impl Application {
    pub(super) fn new(round: u64, histories: Arc<Vec<History>>) -> Self {
        let seen = Mutex::new(vec![Seen::default(); histories.len()]);
        Self { round, histories, seen, unlisted: Mutex::default() }
    }

    pub(super) fn seen(&self, stream: usize) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)[stream].clone()
    }

    /// Credentials of received streams that are not in the list.
    pub(super) fn unlisted(&self) -> Vec<String> {
        self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, stream: usize, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner)[stream]);
    }

    pub(super) async fn attend(self: Arc<Self>, mut stream: AppStream) -> anyhow::Result<()> {
        let Some(number) = app::number_of(&stream, RunId::default(), self.histories.len()) else {
            let mut unlisted = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner);
            unlisted.push(stream.credentials().to_owned());
            return Ok(());
        };
        stream.acknowledge_manually();
        let history = &self.histories[number];
        let (first_event, first_send) = (stream.first_event().0, stream.first_send().0);
        self.update(number, |seen| {
            seen.started = true;
            seen.silent |= first_send < history.s2c;
            // Events that no application has acknowledged.
            if first_event > history.handled + 1 {
                seen.wrong = Some(format!("the first event is {first_event}"));
            }
        });
        // Event 0 is the start of the stream.
        let mut expected = first_event.max(1);
        while let Some(happened) = stream.next_event().await {
            match happened {
                Event::Message { event, message, .. } => {
                    if event.0 != expected {
                        let wrong = format!("event {event} where {expected} is next");
                        self.update(number, |seen| seen.wrong = Some(wrong));
                    }
                    expected = event.0 + 1;
                    if self.check(number, event.0 - 1, message.as_bytes()) {
                        // If the stream has ended, the end arrives as an event.
                        let _ = stream.send(message::text(&echo(self.round, number))).await;
                    }
                }
                Event::Ended { ended, .. } => {
                    self.update(number, |seen| seen.ends.push(ended.reason));
                }
                Event::TransportChanged(_) | Event::Released | _ => {}
            }
        }
        Ok(())
    }

    /// Compares a message with the list; true for the probe of this round.
    fn check(&self, stream: usize, number: u64, message: &[u8]) -> bool {
        let history = &self.histories[stream];
        if message == probe(self.round, stream) && number == history.c2s {
            self.update(stream, |seen| seen.probed = true);
            return true;
        }
        if number >= history.c2s || message != listed(Direction::C2s, stream, number) {
            let wrong = format!("c2s {number} is {:?}", String::from_utf8_lossy(message));
            self.update(stream, |seen| seen.wrong = Some(wrong));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_must_be_the_listed_one() {
        let history = History { c2s: 4, s2c: 6, received: 4, handled: 2, ..History::default() };
        let application = Application::new(3, Arc::new(vec![history]));
        assert!(!application.check(0, 2, &listed(Direction::C2s, 0, 2)));
        assert!(application.check(0, 4, &probe(3, 0)));
        let seen = application.seen(0);
        assert!(seen.probed && !seen.silent && seen.wrong.is_none());
        for (number, message) in [
            // Message 3 was acknowledged to the client.
            (3, probe(3, 0)),
            (2, listed(Direction::C2s, 0, 3)),
            (2, listed(Direction::C2s, 1, 2)),
            (4, listed(Direction::C2s, 0, 4)),
            (4, probe(2, 0)),
        ] {
            let application = Application::new(3, Arc::clone(&application.histories));
            assert!(!application.check(0, number, &message));
            assert!(application.seen(0).wrong.is_some(), "{number}");
        }
    }
}
