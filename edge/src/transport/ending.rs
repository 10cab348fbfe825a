//! The end of a transport: the last frames, refusals, and the manner in which the driver closes.

use std::time::{Duration, Instant};

use minerva_proto::Frame;
use minerva_proto::link::{EdgeMessage, End};
use minerva_proto::v3::{self, Refusal, RefusalCode};

use super::event::{Ending, Output};
use super::fault::Fault;
use super::server_frame::ServerFrame;
use super::{CLOSE_TIMEOUT, RETRY_AFTER, State, Transport};

impl Transport {
    pub(super) fn on_drain(&mut self, now: Instant) {
        match self.state {
            State::Greeting { .. } if self.version3.is_some() => {
                self.refuse(now, RefusalCode::Draining);
            }
            State::Greeting { .. } => {
                // Another edge can take the client at once.
                let (reason, retry_after) = ("this edge is draining".to_owned(), Duration::ZERO);
                self.over(Some(Ending::Unavailable { reason, retry_after }));
            }
            State::Attached => self.end_gently(now),
            State::Ending { .. } | State::Closing { .. } | State::Over => {}
        }
    }

    pub(super) fn end_gently(&mut self, now: Instant) {
        if matches!(self.state, State::Attached) {
            self.end(now, End { kill: None });
        }
    }

    fn end(&mut self, now: Instant, end: End) {
        self.stop_reading(now, Some(end));
        self.send_end(end);
    }

    /// Input that cannot be decoded at all.
    pub(super) fn on_unreadable(&mut self, now: Instant, fault: Fault) {
        match self.state {
            State::Greeting { .. } => self.reject(now, fault),
            State::Attached => {
                let kill = Some(fault.kill_reason());
                self.keep_fault(fault);
                self.end(now, End { kill });
            }
            State::Ending { .. } | State::Closing { .. } | State::Over => {}
        }
    }

    /// Ends a transport without a valid hello.
    pub(super) fn reject(&mut self, now: Instant, fault: Fault) {
        match fault {
            Fault::Kill(reason) => {
                self.wrote = true;
                self.outbound.put_only_v2(&Frame::TransportKill(reason));
                self.finish(now);
            }
            Fault::Refusal(refusal) => self.refuse(now, *refusal),
            Fault::ContentType => self.over(Some(Ending::ContentType)),
        }
    }

    /// Keeps a violation of version 3 until the core has closed the transport.
    pub(super) fn keep_fault(&mut self, fault: Fault) {
        if let (Some(version3), Fault::Refusal(refusal)) = (&mut self.version3, fault) {
            version3.fault = Some(*refusal);
        }
    }

    /// Ends a transport of version 3 with a reason: an HTTP error before the response has a frame, otherwise `R`.
    pub(super) fn refuse(&mut self, now: Instant, refusal: impl Into<Refusal>) {
        if matches!(self.state, State::Closing { .. } | State::Over) {
            return self.over(Some(Ending::Closed));
        }
        let refusal = refusal.into();
        self.version3.get_or_insert_default().refusal = Some(refusal.clone());
        if self.protocol.is_http() && !self.opened {
            return self.over(Some(Ending::Refused(Box::new(refusal))));
        }
        self.outbound.use_version_3(false);
        self.wrote = true;
        self.outbound.put_v3(&v3::Frame::Refusal(refusal));
        self.finish(now);
    }

    /// Ends a transport that the server cannot serve: with a refusal in version 3, without a frame in version 2.
    pub(super) fn give_up(&mut self, now: Instant, ending: Ending) {
        if self.version3.is_none() {
            return self.over(Some(ending));
        }
        let (mut refusal, after) = match ending {
            Ending::Unavailable { reason, retry_after } => {
                (Refusal::with_title(RefusalCode::Unavailable, reason), retry_after)
            }
            Ending::Limited { reason, retry_after } => {
                (Refusal::with_title(RefusalCode::Busy, reason), retry_after)
            }
            Ending::Failed { reason } => {
                (Refusal::with_title(RefusalCode::Unavailable, reason), RETRY_AFTER)
            }
            Ending::Complete
            | Ending::Closed
            | Ending::Refused(_)
            | Ending::ContentType
            | Ending::NoHello => return self.over(Some(ending)),
        };
        refusal.after = Some(after).filter(|after| !after.is_zero());
        self.refuse(now, refusal);
    }

    /// Ends the output: completes an HTTP response, or asks the client to close a socket.
    pub(super) fn finish(&mut self, now: Instant) {
        self.inbound.discard();
        self.heartbeat.stop();
        if self.protocol.asks_to_close() {
            self.put_frame(ServerFrame::YouCloseIt);
            self.state = State::Closing { until: now + CLOSE_TIMEOUT };
        } else {
            self.state = State::Over;
            self.outputs.push_back(Output::End(Ending::Complete));
        }
    }

    /// Closes a WebSocket with the code of its refusal, once all frames are written.
    pub(super) fn close_refused(&mut self) {
        if matches!(self.state, State::Closing { .. })
            && self.protocol.has_close_codes()
            && let Some(refusal) = self.refusal().cloned()
        {
            self.over(Some(Ending::Refused(Box::new(refusal))));
        }
    }

    pub(super) fn over(&mut self, ending: Option<Ending>) {
        if self.is_over() {
            // The remaining chunks are not written.
            return self.detach();
        }
        self.state = State::Over;
        self.heartbeat.stop();
        self.inbound.discard();
        self.outputs.extend(ending.map(Output::End));
        self.detach();
    }

    pub(super) fn detach(&mut self) {
        if std::mem::take(&mut self.owes_detach) {
            self.outputs.push_back(Output::ToCore(EdgeMessage::Detach));
        }
    }
}
