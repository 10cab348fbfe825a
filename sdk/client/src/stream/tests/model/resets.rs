//! Ends in the model: resets by the client and by the application, refused hellos and cut transports.

use std::time::Duration;

use minerva_proto::v3::RefusalCode;
use minerva_proto::{Hello, KillReason, Reset, TransportNumber};

use super::{Reads, World};
use crate::config::Version;
use crate::error::Ended;
use crate::stream::End;
use crate::wire::Frame;

impl World {
    /// Resets the stream and runs without faults until the client has the confirmation.
    pub(in crate::stream::tests) fn end(&mut self) {
        self.client_resets();
        for _ in 0..200 {
            for pipe in self.pipes.keys().copied().collect::<Vec<_>>() {
                self.carry_up(pipe, usize::MAX);
                self.carry_down(pipe, usize::MAX);
            }
            self.run();
            if self.client.ended().is_some() {
                return;
            }
            self.pass(Duration::from_millis(500));
        }
        panic!("no end: {:?}", self.client.transports);
    }

    /// The end at the client, and at the server with the number of created streams.
    pub(in crate::stream::tests) fn ends(&self) -> (Option<Ended>, Option<Reset>, u32) {
        (self.client.ended().cloned(), self.reset.clone(), self.created)
    }

    pub(super) fn client_resets(&mut self) {
        self.may_end = true;
        self.client.reset(self.now, "client");
    }

    /// Ends the stream; `by` is the transport that carried the client's reset.
    pub(super) fn server_resets(&mut self, by: Option<TransportNumber>, reset: Reset) {
        self.may_end = true;
        self.exists = false;
        self.reset = Some(reset.clone());
        let attached: Vec<_> =
            self.pipes.iter().filter(|(_, p)| p.attached && !p.finished).map(|(&n, _)| n).collect();
        for number in attached {
            if by == Some(number) {
                self.close(number);
            } else {
                self.refuse(number, Frame::Reset(reset.clone()));
            }
        }
    }

    /// Ends a transport with one frame.
    pub(super) fn refuse(&mut self, number: TransportNumber, frame: Frame) {
        self.send(number, frame);
        if self.pipe(number).kind.is_socket() {
            self.send(number, Frame::YouCloseIt);
        }
        self.pipe(number).finished = true;
        self.pipe(number).attached = false;
        if self.primary == Some(number) {
            self.primary = None;
        }
    }

    /// Refuses a hello to a stream that does not exist.
    pub(super) fn refuses(&mut self, number: TransportNumber, hello: &Hello, reads: Reads) -> bool {
        let creates = hello.new && !reads.only_resets && self.reset.is_none();
        if self.exists || creates {
            return false;
        }
        let reason = self.reset.clone().filter(|_| reads.resets).map(Frame::Reset);
        let kill = match self.version {
            Version::V2 => Frame::Kill(KillReason::StreamAttachFailure),
            Version::Auto | Version::V3 => Frame::Refusal(RefusalCode::Gone.into()),
        };
        self.refuse(number, reason.unwrap_or(kill));
        true
    }

    /// Closes a transport in order, without reading the frames in flight to the server.
    pub(super) fn drain(&mut self, number: TransportNumber) {
        if self.pipes.get(&number).is_some_and(|pipe| pipe.attached && !pipe.finished) {
            self.close(number);
        }
    }

    /// Ends a transport; both sides notice.
    pub(super) fn cut(&mut self, number: TransportNumber) {
        self.forget(number);
        self.client.on_end(self.now, number, End::Failed);
    }
}
