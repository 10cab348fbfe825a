//! The partitions that this core serves, and the links and sessions that are notified of changes.
//!
//! The link and application servers find the mailbox of a stream here. The ownership task opens a partition after
//! the recovery and closes the partition at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use minerva_proto::link::{Claim, CoreFrame};
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{PartitionHash, StreamId, StreamNumber};

use super::assignment::MAX_SERVICES;
use super::bulk_mail::BulkBudget;
use super::mailbox::{LinkHandle, Mail, MailReceiver, Mailbox, SessionEnd, SessionHandle};
use crate::store::Epoch;
use crate::stream::{AppOutput, HeldStream, LinkId, SessionId};

/// The partitions of a deployment, as far as this core serves them. Cheap to clone.
#[derive(Clone)]
pub struct PartitionTable {
    hash: PartitionHash,
    /// One slot per partition; empty while another core owns the partition.
    slots: Arc<[RwLock<Option<Slot>>]>,
    /// Held during every change, so that all subscribers are notified in the same order. Never held over an await.
    subscribers: Arc<Mutex<Subscribers>>,
    /// Shared by the mailboxes of all partitions.
    bulk: BulkBudget,
}

struct Slot {
    epoch: Epoch,
    mailbox: Mailbox,
}

/// The links and sessions that are notified when a partition is opened or closed.
#[derive(Default)]
struct Subscribers {
    links: BTreeMap<LinkId, LinkHandle>,
    sessions: BTreeMap<SessionId, SessionSubscriber>,
    /// Services that have, or have had, an instance; at most [`MAX_SERVICES`].
    services: BTreeSet<Arc<str>>,
}

struct SessionSubscriber {
    session: SessionHandle,
    /// Streams that the instance holds from an earlier session, by partition; only partitions not served here.
    held: HashMap<u32, Vec<HeldStream>>,
}

impl PartitionTable {
    /// The table for `count` (1 to 65,536) partitions with the hash of the store; none is served yet.
    pub fn new(count: u32, hash: PartitionHash) -> Self {
        let slots = (0..count.clamp(1, 1 << 16)).map(|_| RwLock::new(None)).collect();
        Self { hash, slots, subscribers: Arc::default(), bulk: BulkBudget::default() }
    }

    /// Opens a partition and notifies every link and session; returns the receiving end of the mailbox.
    pub fn open(&self, partition: u32, epoch: Epoch) -> MailReceiver {
        let (mailbox, receiver) = Mailbox::new(self.bulk.clone());
        let mut subscribers = self.subscribers();
        if !subscribers.services.is_empty() {
            mailbox.send(Mail::KnownServices(subscribers.services.clone()));
        }
        for SessionSubscriber { session, held } in subscribers.sessions.values_mut() {
            let held = held.remove(&partition).unwrap_or_default();
            mailbox.send(Mail::InstanceJoined { session: session.clone(), held });
        }
        self.set(partition, Some(Slot { epoch, mailbox }));
        for link in subscribers.links.values() {
            link.outputs.send(CoreFrame::Owned(vec![Claim { partition, epoch: epoch.0 }]));
        }
        receiver
    }

    /// Closes a partition and notifies every link and session, behind all outputs of the partition.
    pub fn close(&self, partition: u32) {
        let subscribers = self.subscribers();
        self.set(partition, None);
        for link in subscribers.links.values() {
            link.outputs.send(CoreFrame::Released(vec![partition]));
        }
        for SessionSubscriber { session, .. } in subscribers.sessions.values() {
            session.outputs.send(AppOutput::PartitionLeft { partition });
        }
    }

    /// Adds a link, which gets the served partitions now and every later change.
    pub fn add_link(&self, link: LinkHandle) {
        let mut subscribers = self.subscribers();
        link.outputs.send(CoreFrame::Owned(self.served()));
        subscribers.links.insert(link.id, link);
    }

    /// Removes a link that has ended, with the transports.
    pub fn remove_link(&self, link: LinkId) {
        let mut subscribers = self.subscribers();
        subscribers.links.remove(&link);
        self.send_to_all(|| Mail::LinkLost(link));
    }

    /// Adds a session to all served partitions, and to the others when they are opened.
    ///
    /// `held` are the streams that the instance holds from an earlier session. Streams with an impossible number are
    /// released at once.
    pub fn add_session(&self, session: SessionHandle, held: Vec<HeldStream>) {
        let mut subscribers = self.subscribers();
        let mut held = self.by_partition(&session, held);
        for partition in 0..self.count() {
            if let Some(mailbox) = self.mailbox(partition) {
                let held = held.remove(&partition).unwrap_or_default();
                mailbox.send(Mail::InstanceJoined { session: session.clone(), held });
            }
        }
        if subscribers.services.len() < MAX_SERVICES {
            subscribers.services.insert(session.service.clone());
        }
        subscribers.sessions.insert(session.id, SessionSubscriber { session, held });
    }

    /// Removes a session that has ended.
    pub fn remove_session(&self, session: SessionId, end: SessionEnd) {
        let mut subscribers = self.subscribers();
        if subscribers.sessions.remove(&session).is_some() {
            self.send_to_all(|| Mail::InstanceLeft(session, end));
        }
    }

    /// Number of partitions of the deployment.
    pub fn count(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The hash that assigns stream ids to partitions.
    pub fn hash(&self) -> PartitionHash {
        self.hash
    }

    /// The partition of a stream id. Links and calls use no other way to find a partition by id.
    pub fn of_id(&self, id: &StreamId) -> u32 {
        if mutation::is(Mutation::IgnoreHashKey) {
            return PartitionHash::UNKEYED.partition(id, self.count()).unwrap_or_default();
        }
        // The count is at least 1.
        self.hash.partition(id, self.count()).unwrap_or_default()
    }

    /// The partition of a stream number; `None` if no stream can have this number.
    pub fn of_number(&self, stream: StreamNumber) -> Option<u32> {
        let partition = u32::from(stream.partition());
        (partition < self.count() && stream.count() != 0).then_some(partition)
    }

    /// Sends mail to a partition.
    ///
    /// An attach is answered with `Unavailable` if the mailbox is too full, and with `Moved` if the partition is not
    /// served here; other mail for such a partition is dropped.
    pub fn send(&self, partition: u32, mail: Mail) {
        match self.mailbox(partition) {
            Some(mailbox) => mailbox.send(mail),
            None => mail.refuse(),
        }
    }

    /// As [`PartitionTable::send`], but waits for capacity of the mailbox first.
    ///
    /// One sender's mail stays in order over both functions if the sender awaits each call.
    pub async fn send_with_room(&self, partition: u32, mail: Mail) {
        match self.mailbox(partition) {
            Some(mailbox) => mailbox.send_with_room(mail).await,
            None => mail.refuse(),
        }
    }

    /// Returns true if this core serves the partition.
    pub fn is_served(&self, partition: u32) -> bool {
        self.mailbox(partition).is_some()
    }

    fn send_to_all(&self, mut mail: impl FnMut() -> Mail) {
        for partition in 0..self.count() {
            if let Some(mailbox) = self.mailbox(partition) {
                mailbox.send(mail());
            }
        }
    }

    fn served(&self) -> Vec<Claim> {
        let epoch = |slot: &RwLock<Option<Slot>>| {
            slot.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|slot| slot.epoch)
        };
        let slots = (0..).zip(self.slots.iter());
        let claim = |(partition, slot)| Some(Claim { partition, epoch: epoch(slot)?.0 });
        slots.filter_map(claim).collect()
    }

    fn mailbox(&self, partition: u32) -> Option<Mailbox> {
        let slot = self.slots.get(partition as usize)?;
        let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|slot| slot.mailbox.clone())
    }

    fn set(&self, partition: u32, new: Option<Slot>) {
        if let Some(slot) = self.slots.get(partition as usize) {
            *slot.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }

    /// Groups held streams by partition.
    fn by_partition(
        &self,
        session: &SessionHandle,
        mut held: Vec<HeldStream>,
    ) -> HashMap<u32, Vec<HeldStream>> {
        held.sort_by_key(|held| held.stream);
        held.dedup_by_key(|held| held.stream);
        let mut by_partition: HashMap<u32, Vec<HeldStream>> = HashMap::new();
        for held in held {
            let stream = held.stream;
            match self.of_number(stream) {
                Some(partition) => by_partition.entry(partition).or_default().push(held),
                None => session.outputs.send(AppOutput::Released { stream }),
            }
        }
        by_partition
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PartitionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionTable({})", self.count())
    }
}
