//! The receiving half of a stream: events in order, each once, acknowledged when done with. Decides what
//! becomes of a stream that nobody reads any more.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::Event;
use crate::service::shared::{Phase, Shared, StreamCell};
use crate::session::Read;

/// The reason when a handler lets a living stream go.
const CLOSED: &str = "closed by the application";
/// The reason when a handler panics, or returns an error; its text might tell what clients must not know.
const FAILED: &str = "the application failed";

/// Receives one stream's events.
///
/// *Acknowledgement*: an event is acknowledged when the next one is asked for, because then it is done with;
/// the end of the stream when the receiver is dropped. What was not acknowledged comes again if this process
/// dies, to another instance. With [`Self::acknowledge_manually`] the app decides.
///
/// *Dropping* the receiver of a living stream resets it (`closed by the application`; if the thread is
/// panicking `the application failed`, not at application level), unless the service is being stopped.
pub struct Receiver {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
    /// The last event that the handler got; done with when it asks for the next.
    unfinished: Option<u64>,
    /// The handler has got the last event.
    over: bool,
    automatic: bool,
    /// Somebody else decides what becomes of the stream when this is dropped.
    pub(super) supervised: bool,
}

impl Receiver {
    pub(super) fn new(cell: Arc<StreamCell>, shared: Arc<Shared>) -> Self {
        // Started is an event as well: number 0.
        let unfinished = (cell.info.next_event == 0).then_some(0);
        Self { cell, shared, unfinished, over: false, automatic: true, supervised: false }
    }

    /// The next message; `None` when the stream is over, or the service is stopped. May be cancelled: no message
    /// is lost.
    pub async fn recv(&mut self) -> Option<Bytes> {
        loop {
            match self.next_event().await? {
                Event::Message { message, .. } => return Some(message),
                Event::TransportChanged(_) => {}
                Event::Ended { .. } | Event::Released => return None,
            }
        }
    }

    /// The next event; `None` after [`Event::Ended`] or [`Event::Released`]. May be cancelled: no event is lost.
    pub async fn next_event(&mut self) -> Option<Event> {
        let number = self.cell.info.number;
        if let Some(event) = self.unfinished.take_if(|_| self.automatic) {
            self.shared.acknowledge(number, event);
        }
        if self.over {
            return None;
        }
        let event = self.read().await;
        match &event {
            Event::Message { event, .. } => self.unfinished = Some(*event),
            Event::Ended { event, .. } => {
                self.unfinished = Some(*event);
                self.over = true;
            }
            Event::Released => self.over = true,
            Event::TransportChanged(_) => {}
        }
        Some(event)
    }

    /// From now on only [`Self::acknowledge`] acknowledges events (and dropping the receiver the end).
    pub fn acknowledge_manually(&mut self) {
        self.automatic = false;
    }

    /// Acknowledges all events up to `event`: they do not come again, whatever happens. It reaches the core
    /// together with what was sent before it, or after that is durable.
    pub fn acknowledge(&self, event: u64) {
        self.shared.acknowledge(self.cell.info.number, event);
    }

    async fn read(&self) -> Event {
        let number = self.cell.info.number;
        loop {
            if self.shared.phase() != Phase::Running {
                return Event::Released;
            }
            match self.shared.read(number) {
                Read::Event(event) => return event,
                Read::Over => return Event::Released,
                Read::Waiting => self.cell.readable.notified().await,
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.supervised {
            let failed = std::thread::panicking();
            let (reason, application_level) = if failed { (FAILED, false) } else { (CLOSED, true) };
            close_reader(&self.cell, &self.shared, reason, application_level);
        }
        self.shared.on_reader_dropped();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("stream", &self.cell.info).finish_non_exhaustive()
    }
}

/// Decides what becomes of a stream when its handler is over, instead of its receiver.
pub(crate) struct Supervisor {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
}

impl Supervisor {
    /// The handler is over, well or not.
    pub(crate) fn close_stream(self, succeeded: bool) {
        let (reason, application_level) = if succeeded { (CLOSED, true) } else { (FAILED, false) };
        close_reader(&self.cell, &self.shared, reason, application_level);
    }

    /// What stands for the stream in logs.
    pub(crate) fn stream_hash(&self) -> impl fmt::Display {
        self.cell.info.id.short_hash()
    }
}

/// Nobody reads the stream any more: it ends, if it lives, and whatever comes is acknowledged. While the
/// service is being stopped the stream goes on elsewhere instead.
fn close_reader(cell: &StreamCell, shared: &Shared, reason: &str, application_level: bool) {
    let number = cell.info.number;
    if shared.phase() == Phase::Running {
        shared.reset(number, reason.to_owned(), application_level);
        shared.abandon(number);
    } else if cell.ended.get().is_some() {
        shared.abandon(number);
    }
}
