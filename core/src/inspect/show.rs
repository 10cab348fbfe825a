//! `store show`: the state of streams, without messages, ids and credentials.

use std::ops::Range;

use minerva_proto::StreamNumber;

use super::StoreCommandError;
use super::partition::InspectedPartition;
use crate::state::StreamState;
use crate::store::{OperatorStore, StoreError};

/// The streams to show.
pub(super) struct Filter {
    pub(super) stream: Option<StreamNumber>,
    /// Short hash of the stream id.
    pub(super) hash: Option<String>,
}

/// Prints the selected streams.
///
/// # Errors
/// [`StoreCommandError::NotFound`] if a filter selects no stream; [`StoreCommandError::Damaged`] if a partition is
/// unreadable, after the streams of the others.
pub(super) async fn show(
    store: &dyn OperatorStore,
    partitions: Range<u32>,
    filter: &Filter,
    print: &impl Fn(&str),
) -> Result<(), StoreCommandError> {
    let checked = partitions.len();
    let (mut shown, mut unreadable) = (0, 0);
    for number in partitions {
        let found = match InspectedPartition::read(store, number).await {
            Ok(found) => found.recovered,
            Err(StoreError::Corrupt(text)) => Err(text),
            Err(error) => return Err(error.into()),
        };
        let recovered = match found {
            Ok(recovered) => recovered,
            Err(text) => {
                unreadable += 1;
                print(&format!("partition {number}: unreadable: {text}\n"));
                continue;
            }
        };
        for (number, state) in recovered.streams().iter().filter(|entry| filter.selects(*entry)) {
            shown += 1;
            print(&describe(*number, state));
        }
    }
    let has_filter = filter.stream.is_some() || filter.hash.is_some();
    match (shown, unreadable) {
        (0, _) if has_filter => Err(StoreCommandError::NotFound("no such stream".to_owned())),
        (_, 1..) if !has_filter => {
            Err(StoreCommandError::Damaged { partitions: unreadable, checked })
        }
        _ => Ok(()),
    }
}

impl Filter {
    fn selects(&self, (number, state): (&StreamNumber, &StreamState)) -> bool {
        self.stream.is_none_or(|stream| stream == *number)
            && self.hash.as_ref().is_none_or(|hash| *hash == short_hash(state))
    }
}

fn short_hash(state: &StreamState) -> String {
    state.origin().id.short_hash().to_string()
}

fn describe(number: StreamNumber, state: &StreamState) -> String {
    let (inbox, outbox) = (state.inbox(), state.outbox());
    let status = inbox.ended().map_or_else(
        || "open".to_owned(),
        |(event, ended)| {
            format!("ended by {:?}: {:?}, event {event}", ended.by, ended.reset.reason)
        },
    );
    let attributes = state.attributes();
    format!(
        "stream {number} ({}), partition {}, service {:?}, protocol {}: {status}\n  \
         instance {:?}, idle limit {} ms, label {:?}, groups {}\n  \
         c2s: next message {}, inbox from event {} to {}, {} messages ({} binary), {} bytes\n  \
         s2c: first unacknowledged message {}, next {}, outbox {} messages ({} binary), {} bytes\n",
        short_hash(state),
        number.partition(),
        state.service(),
        if state.origin().protocol.has_kinds() { 3 } else { 2 },
        state.instance().map_or("none", |instance| instance),
        state.max_idle_ms(),
        attributes.label.as_deref().unwrap_or("none"),
        attributes.groups.len(),
        state.sack().acked.map_or(0, |acked| acked.0 + 1),
        inbox.base(),
        inbox.next(),
        inbox.messages(),
        inbox.iter().filter(|message| message.is_binary()).count(),
        inbox.bytes(),
        outbox.base(),
        outbox.next(),
        outbox.iter_from(outbox.base()).count(),
        outbox.iter_from(outbox.base()).filter(|(_, message)| message.is_binary()).count(),
        outbox.bytes(),
    )
}
