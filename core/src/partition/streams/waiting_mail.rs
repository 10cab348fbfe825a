//! Timeouts of streams whose mail has waited in the mailbox: the mail may have arrived in time, so it goes first.
//!
//! While the store is full, turns handle deadlines although no mail is taken; and a turn takes a part of a long mailbox
//! only. Without this rule a stream would end as idle although the client has returned. Used at the end of a turn.

use std::collections::BTreeSet;

use minerva_proto::StreamNumber;
use minerva_proto::mutation::{self, Mutation};

use super::super::mailbox::{Mail, MailReceiver};
use super::PartitionStreams;
use super::attach::stream_key;
use crate::stream::{Millis, Stream, TransportKey};

/// Pause before a postponed timeout is due again, in milliseconds.
const POSTPONED_MS: u64 = 1_000;

/// The streams whose mail in the mailbox may cancel a timeout; computed for the first such timeout of a turn.
pub(super) struct WaitingMail<'a> {
    mail: &'a mut MailReceiver,
    streams: Option<BTreeSet<StreamNumber>>,
}

impl<'a> WaitingMail<'a> {
    pub(super) fn new(mail: &'a mut MailReceiver) -> Self {
        Self { mail, streams: None }
    }
}

impl PartitionStreams {
    /// Postpones a due timeout that would end or move the stream, if mail of the stream waits. Returns true if so.
    pub(super) fn postpone_timeout(
        &mut self,
        number: StreamNumber,
        now: Millis,
        waiting: &mut WaitingMail<'_>,
    ) -> bool {
        let is_due = |stream: &Stream| stream.has_timed_out(now, &self.limits);
        if !self.streams.get(&number).is_some_and(|stream| is_due(stream)) {
            return false;
        }
        if waiting.streams.is_none() {
            let streams = waiting.mail.waiting().filter_map(|mail| self.progressing(mail));
            waiting.streams = Some(streams.collect());
        }
        let has_mail = waiting.streams.as_ref().is_some_and(|streams| streams.contains(&number))
            && !mutation::is(Mutation::IgnoreWaitingMail);
        if has_mail {
            self.deadlines.set(number, Some(now.after(POSTPONED_MS)));
        }
        has_mail
    }

    /// The stream that a mail attaches to a client, or whose client or application acknowledges something.
    fn progressing(&self, mail: &Mail) -> Option<StreamNumber> {
        match mail {
            Mail::Attach { attach, .. } => self.named(&stream_key(attach), &attach.protocol).live(),
            Mail::Batch { link, transport, batch } if !batch.sacks.is_empty() => {
                let key = TransportKey { link: *link, transport: *transport };
                self.transports.get(&key).copied()
            }
            Mail::Acknowledge { stream, .. } | Mail::Send { stream, acknowledge: Some(_), .. } => {
                Some(*stream)
            }
            Mail::Batch { .. }
            | Mail::Detach { .. }
            | Mail::Grant { .. }
            | Mail::LinkLost(_)
            | Mail::InstanceJoined { .. }
            | Mail::InstanceLeft(..)
            | Mail::KnownServices(_)
            | Mail::Send { .. }
            | Mail::Reset { .. }
            | Mail::Finish { .. }
            | Mail::SetLimits { .. }
            | Mail::ChangeAttributes { .. }
            | Mail::InvalidCommand { .. }
            | Mail::StreamCall(_)
            | Mail::Stop { .. } => None,
        }
    }
}
