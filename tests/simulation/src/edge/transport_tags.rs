//! The claim tags of one transport: adds those that the client reports to the messages for the core, and passes on
//! those that the core sends.

use minerva_proto::link::{Attach, Batch, CoreMessage, CreatedStream, EdgeMessage};
use minerva_proto::{ClaimTag, ReceivedTags, Sack};

use crate::claim_tags::{ClientTags, HelloTags, ServerTags};

/// Claim tags of one transport.
#[derive(Debug, Default)]
pub(super) struct TransportTags {
    /// The report of the hello; `None` for a client of wire version 2.
    hello: Option<HelloTags>,
    /// The report of each SACK, in order. A SACK is sent again after a change of the owner.
    sacks: Vec<(Sack, ReceivedTags)>,
    /// Tag of the next message from the core.
    next: ClaimTag,
    /// Tags that are not sent to the client yet.
    pub(super) unsent: ServerTags,
}

impl TransportTags {
    /// Handles reports of the client.
    pub(super) fn on_client(&mut self, tags: ClientTags) {
        self.hello = self.hello.take().or(tags.hello);
        self.sacks.extend(tags.sacks);
    }

    /// Handles a message of the core before the machine does.
    pub(super) fn on_core(&mut self, message: &CoreMessage) {
        match message {
            CoreMessage::Opened { stream, created_tag, .. } => {
                self.next = ClaimTag::UNKNOWN;
                let created = CreatedStream { stream: *stream, tag: *created_tag };
                self.unsent.created = Some(created);
            }
            CoreMessage::Tag(tag) => self.next = *tag,
            CoreMessage::Messages(run) => {
                self.unsent.messages.push((self.next, run.messages.len() as u64));
            }
            CoreMessage::Taken(_)
            | CoreMessage::Sack(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Close(_) => {}
        }
    }

    /// Adds the reports of the client to a message for the core.
    pub(super) fn add_to(&self, message: &mut EdgeMessage) {
        let Some(hello) = &self.hello else { return };
        match message {
            EdgeMessage::Attach(attach) => self.add_to_attach(hello, attach),
            EdgeMessage::Batch(batch) => self.add_to_batch(batch),
            EdgeMessage::Detach | EdgeMessage::Grant(_) => {}
        }
    }

    fn add_to_attach(&self, hello: &HelloTags, attach: &mut Attach) {
        attach.created = hello.created.filter(|_| !attach.create);
        // Without a later SACK, that of the hello.
        attach.tag_history = self.of(attach.sack.as_ref()).unwrap_or(&hello.received).clone();
        if let Some(batch) = &mut attach.batch {
            self.add_to_batch(batch);
        }
    }

    fn add_to_batch(&self, batch: &mut Batch) {
        batch.tag_history = self.of(batch.sacks.last()).cloned().unwrap_or_default();
    }

    /// The report of a SACK.
    fn of(&self, sack: Option<&Sack>) -> Option<&ReceivedTags> {
        self.sacks.iter().rev().find(|(own, _)| Some(own) == sack).map(|(_, received)| received)
    }
}
