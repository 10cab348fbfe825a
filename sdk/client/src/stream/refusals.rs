//! Refused transports in the stream machine: kills of version 2, refusals of version 3, resets, and problems for the
//! application.

use minerva_proto::v3::{ClientAction, Refusal, RefusalCode};
use minerva_proto::{KillReason, Reset, TransportNumber};

#[cfg(feature = "simulation")]
use super::STATE_LOST;
use super::transport::{End, Role};
use super::{Output, StreamMachine, Time};
use crate::error::EndedBy;
use crate::problem::{FailedAttempt, Problem, ProblemCode};
use crate::wire::WireVersion;

impl StreamMachine {
    /// Continues with version 2, because the server of a transport has no other. The transport goes on if its hello is
    /// not written yet; all others of version 3 are replaced. Returns false if the stream needs version 3.
    pub(crate) fn fall_back(&mut self, now: Time, number: TransportNumber) -> bool {
        if self.created || !self.negotiation.fall_back() {
            return false;
        }
        if let Some(transport) = self.transports.get_mut(&number).filter(|t| !t.hello_sent) {
            transport.version = WireVersion::V2;
        }
        for number in self.open_numbers() {
            let version = self.transports.get(&number).map(|transport| transport.version);
            if version == Some(WireVersion::V3) {
                self.transports.remove(&number);
                self.outputs.push_back(Output::Close { number });
            }
        }
        self.plan(now);
        true
    }

    /// Handles the refusal of a transport of version 3, from a frame or from the response to the request. The client acts
    /// on the action, so that unknown codes are harmless.
    pub(crate) fn on_refusal(&mut self, now: Time, number: TransportNumber, refusal: &Refusal) {
        let Some(transport) = self.transports.get(&number) else { return };
        let (role, asks_reason) = (transport.role, transport.asks_reason);
        let code = refusal.code();
        let repeats = code.filter(|code| code.ends_when_repeated());
        let is_repeated = repeats.is_some() && self.last_fault == repeats;
        self.last_fault = repeats.or(self.last_fault);
        let is_gone = code == Some(RefusalCode::Gone);
        match (refusal.action(), self.resetting.clone()) {
            (ClientAction::End, Some((reset, _))) if is_gone && asks_reason => {
                self.end(EndedBy::Client, reset.reason, reset.application_level);
                return;
            }
            (ClientAction::End, Some(_)) if is_gone => {}
            (ClientAction::End, _) => return self.end_refused(refusal),
            _ if is_repeated => return self.end_refused(refusal),
            (ClientAction::Fallback, _) if self.fall_back(now, number) => return,
            (ClientAction::Halt, _) if code.is_none() && !self.created => self.retry.halt(now),
            (ClientAction::Retry | ClientAction::Fallback | ClientAction::Halt, _) => {}
        }
        self.on_problem(number, Problem::of_refusal(refusal));
        refusal.after.into_iter().for_each(|after| self.on_refused(now, role, after));
        self.close(now, number, End::Failed);
    }

    /// Whether two messages with one number have arrived.
    #[cfg(feature = "simulation")]
    pub(crate) fn has_found_loss(&self) -> bool {
        self.resetting.as_ref().is_some_and(|(reset, _)| reset.reason == STATE_LOST)
    }

    fn end_refused(&mut self, refusal: &Refusal) {
        self.end(EndedBy::Server, refusal.code_text().to_owned(), false);
    }

    pub(super) fn on_kill(&mut self, now: Time, number: TransportNumber, reason: KillReason) {
        let is_repeated = reason == KillReason::AckedUnsentStrings
            && self.last_fault.replace(RefusalCode::AckedUnsent) == Some(RefusalCode::AckedUnsent);
        let was_attached = self.transports.get(&number).is_some_and(|t| t.attached);
        self.on_problem(number, Problem::of_kill(reason, was_attached));
        let is_unknown = reason == KillReason::StreamAttachFailure;
        let asks_reason = self.transports.get(&number).is_some_and(|t| t.asks_reason);
        match &self.resetting {
            _ if is_repeated => self.end(EndedBy::Server, reason.to_string(), false),
            None if is_unknown => self.end(EndedBy::Server, reason.to_string(), false),
            Some((reset, _)) if is_unknown && asks_reason => {
                let reset = reset.clone();
                self.end(EndedBy::Client, reset.reason, reset.application_level);
            }
            Some(_) | None => self.close(now, number, End::Failed),
        }
    }

    /// Handles the end of the stream. The server repeats the reset that has ended the stream: the own one, or an
    /// earlier one of the application.
    pub(super) fn on_reset(&mut self, reset: Reset) {
        let is_own = self.resetting.as_ref().is_some_and(|(own, _)| *own == reset);
        let by = if is_own { EndedBy::Client } else { EndedBy::Server };
        self.end(by, reset.reason, reset.application_level);
    }

    /// Notes why a transport has failed; its end follows.
    pub(crate) fn on_problem(&mut self, number: TransportNumber, mut problem: Problem) {
        let Some(transport) = self.transports.get(&number) else { return };
        if transport.close_by.is_some() {
            // Replaced by a successor: the end is wanted.
            return;
        }
        if transport.hello_sent
            && !transport.attached
            && transport.version == WireVersion::V2
            && problem.code == ProblemCode::Network
        {
            // Sockets of wire version 2 have no frame for a failure of the server.
            problem.title += "; no answer to the hello: the server may be full, or without an instance of the service";
        }
        if !transport.is_primary() {
            if self.active_kind.is_none() {
                self.attempts.on_problem(problem);
            }
            return;
        }
        let address = self.config.addresses().nth(transport.server).unwrap_or_default().to_owned();
        self.attempts.on_failure(FailedAttempt { transport: transport.kind, address, problem });
    }

    /// Notes the delay that the server asks for, which has refused a transport; the end of the transport follows. The
    /// next primary goes to another address, if the configuration has several.
    pub(crate) fn on_refused(&mut self, now: Time, role: Role, wait: Time) {
        match role {
            Role::Primary if self.config.addresses().nth(1).is_none() => self.retry.hold(now, wait),
            Role::Primary => {}
            Role::Upload => self.upload_retry.hold(now, wait),
        }
    }
}
