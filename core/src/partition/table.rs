//! Which partitions are served here: the router that finds the mailbox of a stream, and who is told when a
//! partition comes or goes. Used by the link and application servers; changed by the ownership task, which
//! opens a partition when it is recovered and closes it when it has ended.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use minerva_proto::StreamId;

use super::mailbox::stream_count;
use super::mailbox::{LinkHandle, LinkId, Mail, MailReceiver, Mailbox, SessionHandle, SessionId};
use crate::store::Epoch;
use crate::stream::{AppOutput, EdgeOutput};

/// The partitions of a deployment, as far as they are served by this core. Cheap to clone.
#[derive(Clone)]
pub struct Partitions {
    /// One for each partition; empty while another core has it.
    slots: Arc<[RwLock<Option<Slot>>]>,
    /// Held while anything is opened, closed, joined or left, so that all hear the same order. Never over
    /// an await.
    audience: Arc<Mutex<Audience>>,
}

struct Slot {
    epoch: Epoch,
    mailbox: Mailbox,
}

/// Who is told of partitions that come and go.
#[derive(Default)]
struct Audience {
    links: BTreeMap<LinkId, LinkHandle>,
    sessions: BTreeMap<SessionId, Listener>,
}

struct Listener {
    session: SessionHandle,
    /// Streams that it holds from an earlier call, of partitions that are not served here, by partition.
    held: HashMap<u32, Vec<u64>>,
}

impl Partitions {
    /// The table for `count` (1 to 65,536) partitions, of which none is served.
    pub fn new(count: u32) -> Self {
        let slots = (0..count.clamp(1, 1 << 16)).map(|_| RwLock::new(None)).collect();
        Self { slots, audience: Arc::default() }
    }

    /// A partition is served from now on: every link and every session is told. Returns the partition's
    /// end of its mailbox.
    pub fn open(&self, partition: u32, epoch: Epoch) -> MailReceiver {
        let (mailbox, receiver) = Mailbox::new();
        let mut audience = self.audience();
        for Listener { session, held } in audience.sessions.values_mut() {
            let held = held.remove(&partition).unwrap_or_default();
            mailbox.send(Mail::Joined { session: session.clone(), held });
        }
        self.set(partition, Some(Slot { epoch, mailbox }));
        for link in audience.links.values() {
            link.outputs.send(EdgeOutput::Owned(vec![(partition, epoch)]));
        }
        receiver
    }

    /// A partition is not served any more: every link and every session is told, behind all that the
    /// partition has said.
    pub fn close(&self, partition: u32) {
        let audience = self.audience();
        self.set(partition, None);
        for link in audience.links.values() {
            link.outputs.send(EdgeOutput::Released(vec![partition]));
        }
        for Listener { session, .. } in audience.sessions.values() {
            session.outputs.send(AppOutput::PartitionLeft { partition });
        }
    }

    /// An edge is linked: it is told what is served, now and whenever that changes.
    pub fn link(&self, link: LinkHandle) {
        let mut audience = self.audience();
        link.outputs.send(EdgeOutput::Owned(self.served()));
        audience.links.insert(link.id, link);
    }

    /// A link has ended: its transports are forgotten.
    pub fn unlink(&self, link: LinkId) {
        let mut audience = self.audience();
        audience.links.remove(&link);
        self.send_to_all(|| Mail::LinkLost(link));
    }

    /// An instance is registered: the partitions that are served are told of it now, the others when they
    /// are opened. Streams that cannot exist are released at once.
    pub fn join(&self, session: SessionHandle, held: Vec<u64>) {
        let mut audience = self.audience();
        let mut held = self.split(&session, held);
        for partition in 0..self.count() {
            if let Some(mailbox) = self.mailbox(partition) {
                let held = held.remove(&partition).unwrap_or_default();
                mailbox.send(Mail::Joined { session: session.clone(), held });
            }
        }
        audience.sessions.insert(session.id, Listener { session, held });
    }

    /// An instance is gone.
    pub fn leave(&self, session: SessionId) {
        let mut audience = self.audience();
        if audience.sessions.remove(&session).is_some() {
            self.send_to_all(|| Mail::Left(session));
        }
    }

    /// How many partitions there are.
    pub fn count(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The partition of a stream id.
    pub fn of(&self, id: &StreamId) -> u32 {
        (id.stable_hash() % self.slots.len() as u64) as u32
    }

    /// The partition of a stream number; `None` if no stream can have this number.
    pub fn of_number(&self, stream: u64) -> Option<u32> {
        let partition = (stream >> 48) as u32;
        (partition < self.count() && stream_count(stream) != 0).then_some(partition)
    }

    /// Puts mail into a partition's mailbox. An attach that finds the mailbox too full is answered with
    /// `Unavailable`, one for a partition that is not served here with `Moved`; other mail for it is
    /// dropped.
    pub fn send(&self, partition: u32, mail: Mail) {
        match self.mailbox(partition) {
            Some(mailbox) => mailbox.send(mail),
            None => mail.turn_away(),
        }
    }

    /// As [`Partitions::send`], but waits first while mail sent in this way fills its share of the mailbox.
    /// Mail sent in the two ways by one sender stays in order if the sender awaits each call.
    pub async fn send_with_room(&self, partition: u32, mail: Mail) {
        match self.mailbox(partition) {
            Some(mailbox) => mailbox.send_with_room(mail).await,
            None => mail.turn_away(),
        }
    }

    /// Whether a partition is served here.
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

    fn served(&self) -> Vec<(u32, Epoch)> {
        let epoch = |slot: &RwLock<Option<Slot>>| {
            slot.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|slot| slot.epoch)
        };
        let slots = (0..).zip(self.slots.iter());
        slots.filter_map(|(partition, slot)| Some((partition, epoch(slot)?))).collect()
    }

    fn mailbox(&self, partition: u32) -> Option<Mailbox> {
        let slot = self.slots.get(partition as usize)?;
        let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|slot| slot.mailbox.clone())
    }

    fn set(&self, partition: u32, slot: Option<Slot>) {
        if let Some(place) = self.slots.get(partition as usize) {
            *place.write().unwrap_or_else(PoisonError::into_inner) = slot;
        }
    }

    /// Sorts held streams by partition.
    fn split(&self, session: &SessionHandle, mut held: Vec<u64>) -> HashMap<u32, Vec<u64>> {
        held.sort_unstable();
        held.dedup();
        let mut split: HashMap<u32, Vec<u64>> = HashMap::new();
        for stream in held {
            match self.of_number(stream) {
                Some(partition) => split.entry(partition).or_default().push(stream),
                None => session.outputs.send(AppOutput::Released { stream }),
            }
        }
        split
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partitions({})", self.count())
    }
}
