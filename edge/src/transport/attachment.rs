//! Core side of the transport machine: attachment, re-attachment and the frames of the core.

use std::time::{Duration, Instant};

use minerva_proto::link::{
    Close, CloseCause, CoreMessage, EdgeMessage, End, NO_HEARTBEAT, Positions, Resume, Run,
};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::v3::RefusalCode;
use minerva_proto::{BatchNumber, ClaimTag, Frame, KillReason, Payload, Sack, v3};

use super::event::{Ending, Output};
use super::fault::{Fault, code_of_kill};
use super::inbound::Cut;
use super::server_frame::ServerFrame;
use super::{RETRY_AFTER, State, Transport};

/// Links in succession that may fail while the Attach is unanswered; then the transport ends.
const MAX_UNANSWERED: u8 = 2;

impl Transport {
    pub(super) fn on_owner_found(&mut self) {
        self.has_owner = true;
        if matches!(self.state, State::Attached | State::Ending { .. }) {
            self.send_attach();
        }
    }

    pub(super) fn on_owner_lost(&mut self, now: Instant) {
        self.has_owner = false;
        self.owes_detach = false;
        self.attach_pending = false;
        // The next owner may have fewer messages after a rollback; its Opened has the valid SACK.
        self.held_sack.take();
        if matches!(self.state, State::Attached | State::Ending { .. }) {
            self.owner_due.get_or_insert(now + self.limits.hold_time);
        }
    }

    /// As [`Self::on_owner_lost`]; but a transport whose Attach was unanswered on [`MAX_UNANSWERED`] links in
    /// succession may be the cause of the failures, and ends.
    pub(super) fn on_link_lost(&mut self, now: Instant) {
        self.unanswered += u8::from(std::mem::take(&mut self.attach_pending));
        self.on_owner_lost(now);
        if self.unanswered >= MAX_UNANSWERED {
            let reason = "the link to the core failed twice while this transport was attached";
            self.fail(now, reason.to_owned());
        }
    }

    pub(super) fn on_core(&mut self, now: Instant, core: CoreMessage) {
        let is_attached = matches!(self.state, State::Attached | State::Ending { .. });
        if !is_attached || !self.has_owner {
            return;
        }
        self.attach_pending = false;
        self.unanswered = 0;
        let was_opened = self.opened;
        match core {
            CoreMessage::Opened {
                created,
                sack,
                stream,
                created_tag,
                heartbeat_after,
                positions,
            } => {
                self.stream = stream;
                self.next_tag = ClaimTag::UNKNOWN;
                self.outbound.permit_compression(false);
                self.on_opened(created, sack, (created_tag, positions));
                if !was_opened {
                    let is_v3 = self.version3.is_some();
                    self.heartbeat.open(now, if is_v3 { NO_HEARTBEAT } else { heartbeat_after });
                    self.put_initial_heartbeat();
                }
            }
            CoreMessage::Sack(sack) => {
                self.held_sack.hold(now, sack);
                // The SACK of the last batch of a body precedes its Taken.
                let is_body = self.protocol.is_http() && self.version3.is_none();
                if !is_body || self.inbound.is_drained_to(1) {
                    self.put_held_sack();
                }
            }
            CoreMessage::Messages(run) if !self.can_write(&run) => {
                self.fail(now, "version 2 has no bytes outside 0x20-0x7E".to_owned());
            }
            CoreMessage::Messages(run) => {
                self.put_held_sack();
                self.wrote = true;
                self.written_tag = self.next_tag;
                self.outbound.put_messages(run, self.next_tag);
                if self.outbound.is_overdrawn() {
                    return self.over(Some(Ending::Closed));
                }
                self.put_initial_heartbeat();
            }
            CoreMessage::Tag(tag) => self.next_tag = tag,
            CoreMessage::Compress(is_permitted) => self.outbound.permit_compression(is_permitted),
            CoreMessage::Renew(within) => self.put_renewal(within),
            CoreMessage::Close(close) => self.on_close(now, *close),
            CoreMessage::Taken(batch) => {
                self.inbound.on_taken(batch);
                self.read_frames(now);
                if self.inbound.is_drained_to(0) {
                    self.put_held_sack();
                }
                self.put_initial_heartbeat();
            }
        }
    }

    /// Asks a client of version 3 for new credentials.
    fn put_renewal(&mut self, within: Duration) {
        if self.version3.is_some() {
            self.inbound.on_credentials_wanted();
            self.wrote = true;
            self.outbound.put_v3(&v3::Frame::Renewal(v3::Renewal::Wanted(within)));
        }
    }

    /// Whether the version of the transport has the content of all messages.
    fn can_write(&self, run: &Run) -> bool {
        self.version3.is_some() || run.messages.iter().all(Payload::is_ascii_text)
    }

    fn on_opened(
        &mut self,
        created: bool,
        sack: Option<Sack>,
        (created_tag, positions): (ClaimTag, Option<Positions>),
    ) {
        if matches!(self.state, State::Attached) {
            self.owner_due = None;
        }
        let first_time = !std::mem::replace(&mut self.opened, true);
        let is_v3 = self.version3.is_some();
        if is_v3 && first_time {
            self.put_welcome(self.stream, created_tag, positions);
        }
        if created && first_time {
            self.wrote = true;
            self.outbound.put_only_v2(&Frame::StreamCreated);
        }
        if let Some(sack) = sack {
            self.put_sack(sack);
        }
    }

    /// Writes the initial heartbeat behind the queued messages and the SACK of the frames that came with the hello.
    fn put_initial_heartbeat(&mut self) {
        // A reset or a fault behind the hello ends the transport without a heartbeat.
        let is_answered = matches!(self.state, State::Attached)
            && !self.inbound.untaken().any(|batch| batch.number == BatchNumber(0));
        if is_answered && self.heartbeat.take_initial(self.outbound.next_message()) {
            self.put_frame(ServerFrame::Heartbeat);
        }
    }

    fn on_close(&mut self, now: Instant, close: Close) {
        self.put_held_sack();
        if let Some(sack) = close.sack {
            self.put_frame(ServerFrame::Sack(sack));
        }
        if let Some(status) = close.status {
            self.put_frame(ServerFrame::Status(status));
        }
        match close.cause {
            CloseCause::Gentle => {
                if let Some(fault) = self.version3.as_mut().and_then(|v3| v3.fault.take()) {
                    return self.refuse(now, fault);
                }
            }
            CloseCause::Kill(reason) => return self.on_kill(now, reason),
            CloseCause::Reset(reset) => self.put_frame(ServerFrame::Reset(reset)),
            CloseCause::Unavailable { reason, retry_after } => {
                // Cores of release 0.1 send some refusals without an estimate.
                let retry_after = if retry_after.is_zero() { RETRY_AFTER } else { retry_after };
                return self.give_up(now, Ending::Unavailable { reason, retry_after });
            }
            CloseCause::Refused { reason } => return self.fail(now, reason),
            CloseCause::WrongVersion | CloseCause::Superseded if self.version3.is_none() => {
                // The client of a version 2 transport cannot read a refusal of version 3.
                let reason = "the core refused a version 2 transport for a reason of version 3";
                return self.fail(now, reason.to_owned());
            }
            CloseCause::WrongVersion => {
                return self.refuse(now, RefusalCode::Version);
            }
            CloseCause::Superseded => return self.refuse(now, RefusalCode::Superseded),
            // The link resolves it: this transport is displaced.
            CloseCause::Moved => return,
        }
        self.finish(now);
    }

    fn on_kill(&mut self, now: Instant, reason: KillReason) {
        let Some(version3) = &mut self.version3 else {
            return self.reject(now, Fault::Kill(reason));
        };
        let refusal = version3.fault.take().unwrap_or_else(|| code_of_kill(reason).into());
        self.refuse(now, refusal);
    }

    /// A defect of the server.
    fn fail(&mut self, now: Instant, reason: String) {
        self.give_up(now, Ending::Failed { reason });
    }

    pub(super) fn send_end(&mut self, end: End) {
        let batch = self.inbound.keep(Cut::end(end));
        if let (true, Some(batch)) = (self.has_owner, batch) {
            self.outputs.push_back(Output::ToCore(EdgeMessage::Batch(batch)));
        }
    }

    /// Attaches to the current owner and repeats the untaken batches.
    pub(super) fn send_attach(&mut self) {
        let Some(attach) = &self.attach else { return };
        let mut attach = attach.clone();
        attach.s2c_bytes = self.outbound.reset_credit();
        if self.opened {
            let too_far = u64::from(mutation::is(Mutation::ResumeTooFar));
            let next_s2c = self.outbound.next_message().map(|next| next + too_far);
            attach.resume = Some(Resume { stream: self.stream, next_s2c, tag: self.written_tag });
            attach.create = false;
            attach.succeeds = None;
            // The previous owner may not have stored the last SACK.
            attach.sack = self.inbound.last_sack().cloned();
            attach.tag_history.clone_from(self.inbound.tags());
            attach.heartbeat = false;
        } else {
            attach.batch = self
                .inbound
                .untaken()
                .next()
                .filter(|batch| batch.number == BatchNumber(0))
                .cloned();
        }
        let included = usize::from(attach.batch.is_some());
        self.outputs.push_back(Output::ToCore(EdgeMessage::Attach(attach)));
        self.owes_detach = true;
        self.attach_pending = true;
        let rest = self.inbound.untaken().skip(included).cloned();
        let rest = rest.filter(|_| !(self.opened && mutation::is(Mutation::DropUntaken)));
        self.outputs.extend(rest.map(|batch| Output::ToCore(EdgeMessage::Batch(batch))));
        self.repeat_end();
    }

    /// Repeats the end if a previous owner has taken it without a response.
    fn repeat_end(&mut self) {
        let State::Ending { end: Some(end) } = self.state else { return };
        if !self.inbound.untaken().any(|batch| batch.end.is_some()) {
            self.send_end(end);
        }
    }

    /// Writes the SACK of an HTTP body.
    pub(super) fn put_held_sack(&mut self) {
        if let Some(sack) = self.held_sack.take() {
            self.put_sack(sack);
        }
    }

    fn put_sack(&mut self, sack: Sack) {
        if let Some(attach) = &mut self.attach {
            attach.seen_ack = sack.clone();
        }
        self.put_frame(ServerFrame::Sack(sack));
    }
}
