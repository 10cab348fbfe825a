//! Bulk mail: mail with many bytes of messages, which waits until earlier bulk mail of the core is durable.
//!
//! All appends of a core share the connections to the store, and all streams of a partition share one log. Without a
//! limit for bulk mail, messages of a few streams with megabytes in flight would delay those of all others for seconds.
//! The receiving end of a mailbox sorts its mail here; the gate returns the budget when the append is confirmed.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minerva_proto::StreamNumber;
use minerva_proto::link::TransportId;
use tokio::sync::Notify;

use super::mailbox::{Envelope, Mail};
use crate::stream::{LinkId, SessionId, StreamCallId};

/// Bytes of messages from which on a mail is bulk mail: more than an edge reads at once from one connection.
pub(super) const BULK_BYTES: usize = 32 << 10;

/// Bulk mail of all partitions in appends under way at which further bulk mail waits.
pub(super) const IN_FLIGHT_BYTES: usize = 1 << 20;

/// The share of the store that bulk mail may take, for all partitions of a core. Cheap to clone.
///
/// Nothing is reserved for waiting mail: a partition that cannot act, such as one without a lease, holds nothing back.
#[derive(Clone, Debug, Default)]
pub(super) struct BulkBudget(Arc<InFlight>);

#[derive(Debug, Default)]
struct InFlight {
    bytes: AtomicUsize,
    /// Notified when bytes return.
    returned: Notify,
}

impl BulkBudget {
    fn try_acquire(&self, bytes: usize) -> Option<BulkPermit> {
        let add = |used| (used < IN_FLIGHT_BYTES).then_some(used + bytes);
        let used = self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        used.ok().map(|_| BulkPermit { budget: self.clone(), bytes })
    }
}

/// A part of the budget; returned when dropped.
#[derive(Debug)]
pub(super) struct BulkPermit {
    budget: BulkBudget,
    bytes: usize,
}

impl BulkPermit {
    /// Adds another part.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for BulkPermit {
    fn drop(&mut self) {
        self.budget.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.0.returned.notify_waiters();
    }
}

/// A sender whose mail stays in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// A transport of a client.
    Transport(LinkId, TransportId),
    /// A stream at an instance of the application.
    Stream(SessionId, StreamNumber),
    /// A request from outside of a session.
    Call(StreamCallId),
}

/// The bulk mail of one mailbox, and the mail of the same senders behind it.
pub(super) struct BulkMail {
    budget: BulkBudget,
    waiting: VecDeque<(Lane, Envelope)>,
    /// Number of waiting mails by sender.
    lanes: HashMap<Lane, usize>,
    /// The budget of mail that was passed on since [`Self::take_permit`].
    granted: Option<BulkPermit>,
}

impl BulkMail {
    pub(super) fn new(budget: BulkBudget) -> Self {
        let (waiting, lanes) = (VecDeque::new(), HashMap::new());
        Self { budget, waiting, lanes, granted: None }
    }

    /// Takes a mail in, and adds the mail to handle now to `sorted`, in order: nothing if the mail has to wait; at the end
    /// of a link or a session also the waiting mail from there, without a budget.
    pub(super) fn sort(&mut self, envelope: Envelope, sorted: &mut VecDeque<Envelope>) {
        let mail = &envelope.mail;
        if let Some(lane) = Lane::of(mail).filter(|lane| self.must_wait(*lane, mail)) {
            *self.lanes.entry(lane).or_default() += 1;
            self.waiting.push_back((lane, envelope));
            return;
        }
        if let Mail::LinkLost(link) = *mail {
            sorted.extend(self.remove(|lane| lane.link() == Some(link)));
        } else if let Mail::InstanceLeft(session, _) = *mail {
            sorted.extend(self.remove(|lane| lane.session() == Some(session)));
        }
        sorted.push_back(envelope);
    }

    fn must_wait(&self, lane: Lane, mail: &Mail) -> bool {
        self.lanes.contains_key(&lane) || mail.bytes() >= BULK_BYTES
    }

    /// Waits for the budget of the oldest mail; pending without mail. Cancel safe.
    pub(super) async fn next(&mut self) -> Envelope {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let in_flight = Arc::clone(&self.budget.0);
        loop {
            let mut returned = pin!(in_flight.returned.notified());
            // Before the attempt, so that no return in between is missed.
            returned.as_mut().enable();
            if let Some(envelope) = self.try_next() {
                return envelope;
            }
            returned.await;
        }
    }

    /// The oldest mail, if its budget is free.
    pub(super) fn try_next(&mut self) -> Option<Envelope> {
        let (_, oldest) = self.waiting.front()?;
        let permit = self.budget.try_acquire(oldest.mail.bytes())?;
        match &mut self.granted {
            Some(granted) => granted.merge(permit),
            none @ None => *none = Some(permit),
        }
        let (lane, envelope) = self.waiting.pop_front()?;
        self.forget(lane);
        Some(envelope)
    }

    /// The budget of the mail that was passed on since the last call; to be kept until the mail is durable.
    pub(super) fn take_permit(&mut self) -> Option<BulkPermit> {
        self.granted.take()
    }

    /// All waiting mail, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Envelope> {
        self.waiting.iter().map(|(_, envelope)| envelope)
    }

    /// Removes all mail.
    pub(super) fn take_all(&mut self) -> VecDeque<Envelope> {
        self.remove(|_| true)
    }

    fn remove(&mut self, is_removed: impl Fn(Lane) -> bool) -> VecDeque<Envelope> {
        let (mut removed, mut kept) = (VecDeque::new(), VecDeque::new());
        for (lane, envelope) in std::mem::take(&mut self.waiting) {
            if is_removed(lane) {
                self.forget(lane);
                removed.push_back(envelope);
            } else {
                kept.push_back((lane, envelope));
            }
        }
        self.waiting = kept;
        removed
    }

    fn forget(&mut self, lane: Lane) {
        if let Some(count) = self.lanes.get_mut(&lane) {
            *count -= 1;
            if *count == 0 {
                self.lanes.remove(&lane);
            }
        }
    }
}

impl Lane {
    /// The sender of a mail; `None` for mail that never waits.
    fn of(mail: &Mail) -> Option<Self> {
        match mail {
            Mail::Attach { link, transport, .. } => Some(Self::Transport(link.id, *transport)),
            Mail::Batch { link, transport, .. } | Mail::Detach { link, transport } => {
                Some(Self::Transport(*link, *transport))
            }
            Mail::Acknowledge { session, stream, .. }
            | Mail::Send { session, stream, .. }
            | Mail::Finish { session, stream, .. }
            | Mail::Reset { session, stream, .. }
            | Mail::SetLimits { session, stream, .. }
            | Mail::ChangeAttributes { session, stream, .. }
            | Mail::InvalidCommand { session, stream, .. } => Some(Self::Stream(*session, *stream)),
            Mail::StreamCall(call) => Some(Self::Call(call.id)),
            Mail::Grant { .. }
            | Mail::LinkLost(_)
            | Mail::InstanceJoined { .. }
            | Mail::InstanceLeft(..)
            | Mail::KnownServices(_)
            | Mail::Stop { .. } => None,
        }
    }

    fn link(self) -> Option<LinkId> {
        if let Self::Transport(link, _) = self { Some(link) } else { None }
    }

    fn session(self) -> Option<SessionId> {
        if let Self::Stream(session, _) = self { Some(session) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use minerva_proto::link::{Batch, Run};
    use minerva_proto::{MessageNumber, Payload};

    use super::super::mailbox::SessionEnd;
    use super::*;

    const LINK: LinkId = LinkId(1);
    const SESSION: SessionId = SessionId(2);
    const BUDGET: usize = IN_FLIGHT_BYTES;

    fn bulk_mail() -> BulkMail {
        BulkMail::new(BulkBudget::default())
    }

    fn batch(transport: u64, bytes: usize) -> Envelope {
        let messages = vec![Payload::ascii_text(vec![b'x'; bytes])];
        let runs = vec![Run { first: MessageNumber(0), messages }];
        let batch = Batch { runs, ..Batch::default() };
        Envelope::new(Mail::Batch { link: LINK, transport: TransportId(transport), batch })
    }

    fn detach(transport: u64) -> Envelope {
        Envelope::new(Mail::Detach { link: LINK, transport: TransportId(transport) })
    }

    fn send(stream: u64, bytes: usize) -> Envelope {
        Envelope::new(Mail::Send {
            session: SESSION,
            stream: StreamNumber(stream),
            first: MessageNumber(0),
            messages: vec![Payload::ascii_text(vec![b'x'; bytes])],
            acknowledge: None,
        })
    }

    /// The kind of a mail and the number of the sender.
    fn describe(envelope: &Envelope) -> String {
        if let Mail::LinkLost(link) = envelope.mail {
            format!("lost {}", link.0)
        } else if let Mail::InstanceLeft(session, _) = envelope.mail {
            format!("left {}", session.0)
        } else {
            match Lane::of(&envelope.mail).unwrap() {
                Lane::Transport(_, transport) if envelope.mail.bytes() > 0 => {
                    format!("batch {}", transport.0)
                }
                Lane::Transport(_, transport) => format!("detach {}", transport.0),
                Lane::Stream(_, stream) => format!("send {}", stream.0),
                Lane::Call(_) => "call".to_owned(),
            }
        }
    }

    fn sort(mail: &mut BulkMail, envelope: Envelope) -> Vec<String> {
        let mut sorted = VecDeque::new();
        mail.sort(envelope, &mut sorted);
        sorted.iter().map(describe).collect()
    }

    #[test]
    fn mail_from_the_limit_on_waits() {
        for (bytes, waits) in [(BULK_BYTES - 1, false), (BULK_BYTES, true), (BULK_BYTES + 1, true)]
        {
            let mut mail = bulk_mail();
            assert_eq!(sort(&mut mail, batch(1, bytes)).is_empty(), waits, "{bytes}");
        }
    }

    #[test]
    fn mail_waits_only_behind_bulk_mail_of_the_same_sender() {
        let mut mail = bulk_mail();
        assert!(sort(&mut mail, batch(1, BUDGET)).is_empty());
        assert!(sort(&mut mail, detach(1)).is_empty());
        assert_eq!(sort(&mut mail, batch(2, 10)), ["batch 2"]);
        assert_eq!(sort(&mut mail, detach(2)), ["detach 2"]);
        assert_eq!(mail.try_next().as_ref().map(describe).unwrap(), "batch 1");
        assert!(sort(&mut mail, batch(1, 10)).is_empty(), "the detach waits");
        assert!(mail.try_next().is_none(), "the budget is in use");
        drop(mail.take_permit());
        assert_eq!(mail.try_next().as_ref().map(describe).unwrap(), "detach 1");
        assert_eq!(mail.try_next().as_ref().map(describe).unwrap(), "batch 1");
        assert_eq!(sort(&mut mail, batch(1, 10)), ["batch 1"], "nothing waits any more");
    }

    #[test]
    fn mail_waits_while_the_budget_is_used_up() {
        for (used, passes) in [(BUDGET - 1, true), (BUDGET, false), (BUDGET + 1, false)] {
            let budget = BulkBudget::default();
            let (mut first, mut second) = (BulkMail::new(budget.clone()), BulkMail::new(budget));
            sort(&mut first, batch(1, used));
            sort(&mut second, batch(1, BULK_BYTES));
            assert!(first.try_next().is_some());
            assert_eq!(second.try_next().is_some(), passes, "{used}");
            drop(first.take_permit());
            assert_eq!(second.try_next().is_some(), !passes, "{used}");
        }
    }

    #[test]
    fn a_mail_above_the_whole_budget_passes_alone() {
        let mut mail = bulk_mail();
        sort(&mut mail, batch(1, 3 * BUDGET));
        sort(&mut mail, batch(2, BULK_BYTES));
        assert!(mail.try_next().is_some());
        assert!(mail.try_next().is_none());
        drop(mail.take_permit());
        assert!(mail.try_next().is_some());
    }

    #[test]
    fn the_parts_of_one_turn_return_together() {
        let mut mail = bulk_mail();
        for transport in 1..=3 {
            sort(&mut mail, batch(transport, BUDGET / 2));
        }
        assert!(mail.try_next().is_some());
        assert!(mail.try_next().is_some());
        assert!(mail.try_next().is_none());
        drop(mail.take_permit());
        assert_eq!(mail.budget.0.bytes.load(Ordering::Relaxed), 0);
        assert!(mail.try_next().is_some());
    }

    #[test]
    fn the_end_of_a_link_or_session_follows_the_mail_from_there() {
        let mut mail = bulk_mail();
        for envelope in [batch(1, BUDGET), send(7, BUDGET), detach(1), send(7, 1)] {
            assert!(sort(&mut mail, envelope).is_empty());
        }
        let left = Envelope::new(Mail::InstanceLeft(SESSION, SessionEnd::Left));
        assert_eq!(sort(&mut mail, left), ["send 7", "send 7", "left 2"]);
        let lost = Envelope::new(Mail::LinkLost(LINK));
        assert_eq!(sort(&mut mail, lost), ["batch 1", "detach 1", "lost 1"]);
        assert!(mail.try_next().is_none());
        assert_eq!(sort(&mut mail, detach(1)), ["detach 1"]);
    }

    #[tokio::test]
    async fn waiting_mail_is_passed_on_when_the_budget_returns() {
        let mut mail = bulk_mail();
        sort(&mut mail, batch(1, BUDGET));
        sort(&mut mail, batch(2, BUDGET));
        assert!(mail.try_next().is_some());
        let permit = mail.take_permit();
        let (next, ()) = tokio::join!(mail.next(), async { drop(permit) });
        assert_eq!(describe(&next), "batch 2");
    }
}
