//! Restores the parts of a stream state from a snapshot, and checks that a stream can have made them.
//!
//! Used by `StreamState::restore`. The memory is bounded even for a snapshot without a checksum.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{EventNumber, MessageKind, Payload, ReceiveWindow};

use super::inbox::Inbox;
use super::message_bytes::unshared;
use super::outbox::Outbox;
use super::record::Snapshot;
use super::stream_state::{InconsistentError, NO_LIMITS};
use super::tag_history::TagHistory;
use crate::limits::MAX_LIMIT_MESSAGES;

/// Greatest span of message numbers of an outbox in a checkpoint: twice the greatest configurable limit. Bounds the
/// memory for a corrupt checkpoint of release 0.1, which has no checksum, to 8 MB.
pub(super) const MAX_OUTBOX_SPAN: u64 = 2 * MAX_LIMIT_MESSAGES as u64;

/// Damages a snapshot in simulations that must detect the damage.
pub(super) fn mutate(snapshot: &mut Snapshot) {
    if mutation::is(Mutation::ForgetInboxEntry) && !snapshot.inbox.is_empty() {
        snapshot.inbox.remove(0);
        snapshot.inbox_base = snapshot.inbox_base.max(EventNumber(1)).next();
    }
    if mutation::is(Mutation::ForgetEnd) {
        snapshot.ended = None;
    }
    if mutation::is(Mutation::ForgetLabel) {
        snapshot.attributes.label = None;
    }
    if mutation::is(Mutation::ForgetTags) {
        snapshot.tags = TagHistory::default();
    }
    if mutation::is(Mutation::ForgetKeys) {
        snapshot.attributes.keys.clear();
    }
    if mutation::is(Mutation::FlipKind) {
        let outbox = snapshot.outbox.iter_mut().map(|(_, message)| message);
        snapshot.inbox.iter_mut().chain(outbox).for_each(|message| {
            *message = with_other_kind(message);
        });
    }
}

/// A message of the other kind, unless version 2 has the message or the bytes are not UTF-8.
fn with_other_kind(message: &Payload) -> Payload {
    let bytes = message.bytes().clone();
    match message.kind() {
        MessageKind::Text if message.is_ascii_text() => message.clone(),
        MessageKind::Text => Payload::binary(bytes),
        MessageKind::Binary => Payload::text(bytes).unwrap_or_else(|_| message.clone()),
    }
}

pub(super) fn restore_window(
    snapshot: &Snapshot,
) -> Result<ReceiveWindow<Payload>, InconsistentError> {
    let mut window = ReceiveWindow::starting_at(snapshot.received_next, NO_LIMITS);
    for (number, message) in &snapshot.waiting {
        if *number <= snapshot.received_next || window.receive(*number, unshared(message)).is_err()
        {
            return Err(InconsistentError("message beyond a gap without a gap"));
        }
    }
    Ok(window)
}

pub(super) fn restore_inbox(snapshot: &Snapshot) -> Result<Inbox, InconsistentError> {
    // A message that selected the service is no event.
    let selecting = u64::from(snapshot.selected_service.is_some());
    let (skipped, rejoins) =
        snapshot.session.as_ref().map_or((0, 0), |session| (session.skipped, session.rejoins));
    let messages = snapshot.received_next.0.checked_sub(selecting.saturating_add(skipped));
    let Some(events) = messages.and_then(|messages| messages.checked_add(rejoins)) else {
        return Err(InconsistentError("service selected without a message"));
    };
    let (base, next_message) = (snapshot.inbox_base, EventNumber(events).saturating_add(1));
    let next = next_message + u64::from(snapshot.ended.is_some());
    let held = next_message.saturating_sub(base.max(EventNumber(1)));
    if base > next || snapshot.inbox.len() as u64 != held {
        return Err(InconsistentError("inbox does not match its numbers"));
    }
    let numbers = snapshot.rejoined.iter().map(|(number, _)| *number);
    let is_held = |number: EventNumber| number >= base.max(EventNumber(1)) && number < next_message;
    if !numbers.clone().is_sorted_by(|one, other| one < other) || !numbers.clone().all(is_held) {
        return Err(InconsistentError("rejoined event outside of the inbox"));
    }
    let content = (snapshot.inbox.iter().map(unshared).collect(), snapshot.rejoined.clone());
    Ok(Inbox::restore(base, content, next_message, snapshot.ended.clone()))
}

pub(super) fn restore_outbox(snapshot: &Snapshot) -> Result<Outbox, InconsistentError> {
    let inconsistent = InconsistentError("outbox does not match its numbers");
    let (base, next) = (snapshot.outbox_base, snapshot.outbox_next);
    if next.checked_sub(base).is_none_or(|span| span > MAX_OUTBOX_SPAN) {
        return Err(inconsistent);
    }
    if snapshot.attributes.pushed > next.0 {
        return Err(InconsistentError("more pushed messages than messages"));
    }
    let messages = snapshot.outbox.iter().map(|(number, message)| (*number, unshared(message)));
    let retained = snapshot.retained.iter().map(unshared).collect();
    let outbox = Outbox::restore(base, next, messages.collect())
        .map(|outbox| outbox.with_generations(snapshot.origin.protocol.has_kinds()));
    let outbox = outbox.and_then(|outbox| outbox.with_retained(retained, &snapshot.beyond));
    outbox.ok_or(inconsistent)
}

/// Checks that the skipped numbers lie beyond a gap, in ascending order.
pub(super) fn check_session(snapshot: &Snapshot) -> Result<(), InconsistentError> {
    let Some(session) = &snapshot.session else { return Ok(()) };
    let mut next = snapshot.received_next;
    for (from, to) in &session.pending {
        if *from <= next && next > snapshot.received_next
            || *from <= snapshot.received_next
            || from >= to
        {
            return Err(InconsistentError("skipped numbers out of order"));
        }
        next = *to;
    }
    if !snapshot.origin.protocol.has_kinds() {
        return Err(InconsistentError("session of a stream of version 2"));
    }
    Ok(())
}
