//! A send to a group with its options: pages of full streams, waiting for room, the end of slow streams. The requests
//! belong to `Streams`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use minerva_proto::app::{SendToGroupRequest, SendToGroupResponse};
use minerva_proto::{Message, StreamNumber};
use tokio::time::{Instant, sleep};

use super::{GroupSendResult, SendOutcome, Streams, StreamsError, key};
use crate::clock;
use crate::contents::Contents;

/// Full streams per page and core.
const PAGE: u32 = 10_000;
/// Streams per request of a repeated send, the limit of the contract.
const MAX_STREAMS: usize = 10_000;
/// Pause between two attempts to send to full streams.
const WAIT_INTERVAL: Duration = Duration::from_millis(100);
/// Resets at the same time.
const CONCURRENT_RESETS: usize = 16;

/// A send to a group, created by [`Streams::group`].
///
/// ```no_run
/// # async fn example(streams: minerva_app::Streams) -> Result<(), minerva_app::StreamsError> {
/// use std::time::Duration;
///
/// let sent = streams
///     .group("game", "lobby")
///     .wait(Duration::from_secs(2)) // back-pressure: up to 2 s for members with a full outbox
///     .reset_slow("too far behind") // then end these streams
///     .send(["round 17"])
///     .await?;
/// println!("{} members have it, {} were too slow", sent.taken, sent.reset.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct GroupSend {
    streams: Streams,
    service: String,
    group: String,
    key: Option<Bytes>,
    wait: Duration,
    reset_reason: Option<String>,
}

impl GroupSend {
    pub(super) fn new(streams: Streams, service: String, group: String) -> Self {
        Self { streams, service, group, key: None, wait: Duration::ZERO, reset_reason: None }
    }

    /// Sets the idempotency key of 1 to 64 bytes; random by default. See [`Streams::send_to_group_once`].
    pub fn key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Waits for members with a full outbox, at most this time. See [`GroupSend`] for an example.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Ends the streams that did not take the messages, with this reason at application level. See [`GroupSend`] for an
    /// example.
    pub fn reset_slow(self, reason: impl Into<String>) -> Self {
        Self { reset_reason: Some(reason.into()), ..self }
    }

    /// Sends the messages. See [`GroupSend`] for an example.
    ///
    /// # Errors
    /// Those of [`Streams::send_to_group`].
    pub async fn send<S: Into<Message>>(
        self,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<GroupSendResult, StreamsError> {
        let deadline = clock::now() + self.wait;
        let key = self.key.clone().unwrap_or_else(key);
        let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
        let mut result = self.send_pages(&messages, &key).await?;
        let waited = self.wait_for_room(&messages, &key, deadline, &mut result).await;
        waited.map_err(|error| behind_first_page(error, &key))?;
        if let Some(reason) = &self.reset_reason {
            let reset = self.reset_all(&result.full, reason).await;
            result.reset = reset.map_err(|error| behind_first_page(error, &key))?;
        }
        Ok(result)
    }

    /// Sends until all full streams are listed.
    async fn send_pages(
        &self,
        messages: &[Message],
        key: &Bytes,
    ) -> Result<GroupSendResult, StreamsError> {
        let mut pages = Pages::default();
        let Contents { messages, contents } = Contents::for_any_core(messages);
        loop {
            let request = SendToGroupRequest {
                service: self.service.clone(),
                group: self.group.clone(),
                messages: messages.clone(),
                idempotency_key: key.clone(),
                after: pages.after.0,
                page_size: PAGE,
                contents: contents.clone(),
            };
            let is_first = pages.members.is_none();
            let page = self.streams.request(&request).await;
            let page =
                page.map_err(|error| if is_first { error } else { behind_first_page(error, key) })?;
            if pages.add(page) {
                return Ok(pages.into_result());
            }
        }
    }

    /// Sends to the full streams again until all have taken the messages, or the deadline.
    async fn wait_for_room(
        &self,
        messages: &[Message],
        key: &Bytes,
        deadline: Instant,
        result: &mut GroupSendResult,
    ) -> Result<(), StreamsError> {
        while !result.full.is_empty() && clock::now() < deadline {
            sleep(WAIT_INTERVAL.min(deadline.saturating_duration_since(clock::now()))).await;
            let mut full = Vec::new();
            for numbers in result.full.chunks(MAX_STREAMS) {
                let numbers = numbers.iter().copied();
                let sent =
                    self.streams.send_many_once(numbers, messages.to_vec(), key.clone()).await?;
                for one in sent {
                    match one.outcome {
                        SendOutcome::Full => full.push(one.stream),
                        SendOutcome::Taken => result.taken += 1,
                        // The stream is no member any more.
                        SendOutcome::Ended | SendOutcome::NotFound | SendOutcome::Unsupported => {}
                    }
                }
            }
            let unlisted = result.full_count.saturating_sub(result.full.len() as u64);
            result.full_count = full.len() as u64 + unlisted;
            result.full = full;
        }
        Ok(())
    }

    /// Ends streams. Returns those that are over, without those that had ended before.
    async fn reset_all(
        &self,
        numbers: &[StreamNumber],
        reason: &str,
    ) -> Result<Vec<StreamNumber>, StreamsError> {
        let resets = numbers.iter().copied().map(|number| self.streams.reset(number, reason));
        let mut resets = stream::iter(resets).buffered(CONCURRENT_RESETS);
        let mut over = Vec::new();
        while let Some(reset) = resets.next().await {
            match reset {
                Ok(numbers) => over.extend(numbers),
                Err(StreamsError::NotFound | StreamsError::Ended) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(over)
    }
}

/// The error of a request behind the first page, when members have taken the messages already.
fn behind_first_page(error: StreamsError, key: &Bytes) -> StreamsError {
    if let StreamsError::Unavailable(problem) | StreamsError::Unknown { problem, .. } = error {
        return StreamsError::Unknown { problem, key: key.clone() };
    }
    error
}

/// The pages of one send.
#[derive(Debug, Default)]
struct Pages {
    /// The next page has the streams with greater numbers.
    after: StreamNumber,
    full: BTreeSet<StreamNumber>,
    /// Full streams that no page lists, because a core has no pages.
    unlisted: u64,
    /// Members of the group that accept the messages, counted by the first page.
    members: Option<u64>,
    /// The listed streams that do not accept the messages, and the number of all, from the first page.
    unsupported: BTreeSet<StreamNumber>,
    unsupported_total: u64,
}

impl Pages {
    /// Adds the responses of all cores for one page. Returns whether the list is complete.
    fn add(&mut self, responses: Vec<SendToGroupResponse>) -> bool {
        let count = |response: &SendToGroupResponse| response.taken + response.full_total;
        if self.members.is_none() {
            self.members = Some(responses.iter().map(count).sum());
            let unsupported = responses.iter().flat_map(|response| &response.unsupported);
            self.unsupported = unsupported.copied().map(StreamNumber).collect();
            self.unsupported_total = responses.iter().map(|one| one.unsupported_total).sum();
        }
        let is_cut = |response: &&SendToGroupResponse| {
            response.full_total > response.full.len() as u64 && !response.full.is_empty()
        };
        // A cut list has no streams above its last one, so the next page begins behind the first such end.
        let ends = responses.iter().filter(is_cut).filter_map(|response| response.full.last());
        let next = ends.min().map(|&number| StreamNumber(number));
        let has_pages = responses.iter().flat_map(|one| &one.full).all(|&one| one > self.after.0);
        let is_listed = |number: &StreamNumber| next.is_none_or(|next| *number <= next);
        let full = responses.iter().flat_map(|one| one.full.iter().copied().map(StreamNumber));
        match next {
            Some(next) if has_pages => {
                self.full.extend(full.filter(is_listed));
                self.after = next;
                false
            }
            Some(_) | None => {
                self.full.extend(full);
                let missing = |one: &SendToGroupResponse| one.full_total - one.full.len() as u64;
                self.unlisted = responses.iter().map(missing).sum();
                true
            }
        }
    }

    fn into_result(self) -> GroupSendResult {
        let full_count = self.full.len() as u64 + self.unlisted;
        let taken = self.members.unwrap_or_default().saturating_sub(full_count);
        GroupSendResult {
            taken,
            full: self.full.into_iter().collect(),
            full_count,
            unsupported: self.unsupported.into_iter().collect(),
            unsupported_count: self.unsupported_total,
            reset: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(taken: u64, full: &[u64], full_total: u64) -> SendToGroupResponse {
        SendToGroupResponse { taken, full: full.to_vec(), full_total, ..Default::default() }
    }

    fn result(taken: u64, full: &[u64], full_count: u64) -> GroupSendResult {
        let full = full.iter().copied().map(StreamNumber).collect();
        GroupSendResult { taken, full, full_count, ..GroupSendResult::default() }
    }

    #[test]
    fn all_pages_of_all_cores_are_listed_once() {
        let mut pages = Pages::default();
        assert!(!pages.add(vec![response(5, &[1, 4], 4), response(0, &[2, 3], 3)]));
        // The list of the second core ends at 3, so 4 is listed again.
        assert_eq!(pages.after, StreamNumber(3));
        assert!(!pages.add(vec![response(4, &[4, 6], 3), response(0, &[5], 1)]));
        assert_eq!(pages.after, StreamNumber(6));
        assert!(pages.add(vec![response(2, &[8], 1), response(0, &[], 0)]));
        // Of the 12 members stream 4 or another one has taken the messages in between.
        assert_eq!(pages.into_result(), result(5, &[1, 2, 3, 4, 5, 6, 8], 7));
    }

    #[test]
    fn an_error_behind_the_first_page_has_the_key_of_the_send() {
        let key = Bytes::from("key");
        let unknown = |key: &Bytes| StreamsError::Unknown { problem: "x".into(), key: key.clone() };
        // A reset has no key of its own.
        for error in [StreamsError::Unavailable("x".into()), unknown(&Bytes::new())] {
            assert_eq!(behind_first_page(error, &key), unknown(&key));
        }
        let refused = StreamsError::Refused("x".into());
        assert_eq!(behind_first_page(refused.clone(), &key), refused);
    }

    #[test]
    fn a_core_without_pages_ends_the_list() {
        let mut pages = Pages::default();
        assert!(!pages.add(vec![response(1, &[1, 2], 5)]));
        assert!(pages.add(vec![response(1, &[1, 2], 5)]));
        assert_eq!(pages.into_result(), result(1, &[1, 2], 5));
    }
}
