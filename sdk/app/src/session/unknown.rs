//! Counts the parts of events that this SDK does not have: events of later cores, and values of enums. Used by the tasks
//! of the service before the session applies an event.

use minerva_proto::app::{self, EndedBy, RejoinRequest, SendRefusedReason, TransportKind, event};

/// Number of unknown parts of an event. An event without a known field is one part.
pub(crate) fn in_event(event: &app::Event) -> u64 {
    let unknown = match &event.event {
        None => true,
        Some(event::Event::Started(started)) => TransportKind::try_from(started.transport).is_err(),
        Some(event::Event::TransportChanged(change)) => {
            TransportKind::try_from(change.transport).is_err()
        }
        Some(event::Event::Rejoined(rejoined)) => {
            RejoinRequest::try_from(rejoined.asked).is_err()
                || TransportKind::try_from(rejoined.transport).is_err()
        }
        Some(event::Event::Ended(ended)) => EndedBy::try_from(ended.by).is_err(),
        Some(event::Event::SendRefused(refused)) => {
            SendRefusedReason::try_from(refused.reason).is_err()
        }
        Some(
            event::Event::Registered(_)
            | event::Event::Messages(_)
            | event::Event::SendState(_)
            | event::Event::Released(_)
            | event::Event::PartitionOwned(_)
            | event::Event::PartitionLeft(_)
            | event::Event::GroupRefused(_)
            | event::Event::Synced(_)
            | event::Event::Renewed(_)
            | event::Event::CommandRefused(_),
        ) => false,
    };
    u64::from(unknown)
}
