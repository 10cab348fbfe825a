//! The receiving half of a stream: events in order, each once, with automatic or manual acknowledgement. Ends
//! the stream when dropped.

use std::fmt;
use std::sync::Arc;

use minerva_proto::{EventNumber, Message};

use crate::event::Event;
use crate::service::phase::Phase;
use crate::service::shared::Shared;
use crate::service::stream_cell::StreamCell;
use crate::session::Read;

/// Reset reason when a handler fails. Fixed, because the text of an error may be confidential.
const FAILED: &str = "the application failed";

/// Receives the events of one stream.
///
/// *Acknowledgement*: asking for the next event acknowledges the previous one; dropping the receiver
/// acknowledges the end. Unacknowledged events are delivered again after a crash of this process, to any
/// instance. [`Self::acknowledge_manually`] leaves acknowledgement to the app.
///
/// *Dropping* the receiver of a live stream finishes the stream as [`Sender::finish`](crate::Sender::finish) does, with
/// the reason `finished`, unless the service is stopping. While the thread panics the stream is reset at once with the
/// reason `the application failed` and `application_level` false.
///
/// ```no_run
/// # fn store(_event: minerva_app::EventNumber, _message: &minerva_app::Message) {}
/// # async fn example(stream: minerva_app::AppStream) {
/// use minerva_app::Event;
///
/// let (mut receiver, _sender) = stream.split();
/// receiver.acknowledge_manually();
/// while let Some(event) = receiver.next_event().await {
///     if let Event::Message { event, message, .. } = event {
///         store(event, &message);
///         receiver.acknowledge(event);
///     }
/// }
/// # }
/// ```
pub struct Receiver {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
    /// The last event returned to the handler, acknowledged by the next request.
    unfinished: Option<EventNumber>,
    /// The handler has received the last event.
    over: bool,
    automatic: bool,
    /// A supervisor ends the stream instead of the drop of this receiver.
    pub(super) supervised: bool,
}

impl Receiver {
    pub(super) fn new(cell: Arc<StreamCell>, shared: Arc<Shared>) -> Self {
        // Started is event 0.
        let unfinished = (cell.info.next_event == EventNumber(0)).then_some(EventNumber(0));
        Self { cell, shared, unfinished, over: false, automatic: true, supervised: false }
    }

    /// Waits for the next message; `None` when the stream is over or the service is stopped. Cancel safe: no
    /// message is lost. See [`AppStream`](crate::AppStream) for an example.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            match self.next_event().await? {
                Event::Message { message, .. } => return Some(message),
                Event::TransportChanged(_) | Event::Rejoined { .. } | Event::Renewed { .. } => {}
                Event::Ended { .. } | Event::Released => return None,
            }
        }
    }

    /// Waits for the next event; `None` after [`Event::Ended`] or [`Event::Released`]. Cancel safe: no event
    /// is lost. See [`Event`] for an example.
    pub async fn next_event(&mut self) -> Option<Event> {
        if let Some(event) = self.unfinished.take_if(|_| self.automatic) {
            self.shared.acknowledge(&self.cell, event);
        }
        if self.over {
            return None;
        }
        let event = self.read().await;
        match &event {
            Event::Message { event, .. } | Event::Rejoined { event, .. } => {
                self.unfinished = Some(*event);
            }
            Event::Ended { event, .. } => {
                self.unfinished = Some(*event);
                self.over = true;
            }
            Event::Released => self.over = true,
            Event::TransportChanged(_) | Event::Renewed { .. } => {}
        }
        Some(event)
    }

    /// Turns automatic acknowledgement off: from now on [`Self::acknowledge`] acknowledges events, and
    /// dropping the receiver the end. See [`Receiver`] for an example.
    pub fn acknowledge_manually(&mut self) {
        self.automatic = false;
    }

    /// Acknowledges all events up to `event`, which are then never delivered again. The acknowledgement
    /// reaches the core together with the messages sent before, or after they are durable. See [`Receiver`]
    /// for an example.
    pub fn acknowledge(&self, event: impl Into<EventNumber>) {
        self.shared.acknowledge(&self.cell, event.into());
    }

    /// Delivery window of the stream, in bytes.
    pub(crate) fn window(&self) -> usize {
        self.shared.window()
    }

    /// Whether the start of the stream is not acknowledged yet.
    pub(crate) fn is_at_start(&self) -> bool {
        self.unfinished == Some(EventNumber(0))
    }

    async fn read(&self) -> Event {
        loop {
            if self.shared.phase() != Phase::Running {
                return Event::Released;
            }
            match self.shared.read(&self.cell) {
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
            close_reader(&self.cell, &self.shared, !std::thread::panicking());
        }
        self.shared.on_reader_dropped();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("stream", &self.cell.info).finish_non_exhaustive()
    }
}

/// Ends a stream after the handler, in place of the receiver.
pub(crate) struct Supervisor {
    pub(super) cell: Arc<StreamCell>,
    pub(super) shared: Arc<Shared>,
}

impl Supervisor {
    /// Ends the stream after the handler has returned.
    pub(crate) fn close_stream(self, succeeded: bool) {
        close_reader(&self.cell, &self.shared, succeeded);
    }

    /// The short hash of the stream id, for logs.
    pub(crate) fn stream_hash(&self) -> impl fmt::Display {
        self.cell.info.id.short_hash()
    }
}

/// Finishes a live stream without a reader, or resets the stream of a failed handler; acknowledges all later events.
/// During a stop the stream continues elsewhere instead.
fn close_reader(cell: &StreamCell, shared: &Shared, succeeded: bool) {
    if shared.phase() == Phase::Running {
        if succeeded {
            shared.finish(cell, String::new());
        } else {
            shared.reset(cell, FAILED.to_owned(), false);
        }
        shared.abandon(cell);
    } else if cell.ended.get().is_some() {
        shared.abandon(cell);
    }
}
