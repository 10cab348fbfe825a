//! A model of two cores with one stream in a shared store: received and sent messages, and the owner. Each core
//! implements the link contract; output of a former owner has no effect, since the locked state is the store.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use minerva_proto::link::pb as wire;
use minerva_proto::link::pb::core_frame::Frame as FromCore;
use minerva_proto::link::pb::edge_frame::Frame as ToCore;
use tokio::sync::{mpsc, watch};

use crate::support::{Core, sack};

/// The stream and the owner of its partition.
#[derive(Default)]
pub(crate) struct Store {
    owner: Option<usize>,
    pub(crate) epoch: u64,
    /// Received c2s messages, in order.
    pub(crate) received: Vec<String>,
    /// s2c messages, from number 0.
    pub(crate) sent: Vec<String>,
    /// Number of s2c messages acknowledged by the client.
    pub(crate) acked: usize,
    /// Number of refused Attach frames.
    pub(crate) refused: usize,
    pub(crate) fault: Option<String>,
}

/// Instruction to a core.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Claim the partition and announce the claim to the edge.
    Claim,
    /// Claim the partition without an announcement.
    Seize,
    /// Announce the claim.
    Tell,
    /// Release the partition and announce the release.
    Release,
    /// Crash and restart without partitions.
    Die,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) store: Arc<Mutex<Store>>,
    changed: Arc<watch::Sender<()>>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
}

impl Cluster {
    pub(crate) fn new(cores: Vec<Core>) -> Self {
        let mut cluster = Self {
            store: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
            orders: Vec::new(),
        };
        let mut inboxes = Vec::new();
        for _ in &cores {
            let (orders, inbox) = mpsc::unbounded_channel();
            cluster.orders.push(orders);
            inboxes.push(inbox);
        }
        for (id, (core, inbox)) in cores.into_iter().zip(inboxes).enumerate() {
            let member = Member { id, core, cluster: cluster.clone(), transports: Vec::new() };
            tokio::spawn(member.run(inbox));
        }
        cluster
    }

    pub(crate) fn order(&self, core: usize, order: Order) {
        self.orders[core].send(order).unwrap();
    }

    /// Sends a message of the application.
    pub(crate) fn send(&self, text: String) {
        self.store.lock().unwrap().sent.push(text);
        self.changed.send_replace(());
    }

    /// Waits until the state satisfies a condition.
    pub(crate) async fn until(&self, wanted: impl Fn(&Store) -> bool) {
        let mut changes = self.changed.subscribe();
        let reached = async {
            loop {
                {
                    let store = self.store.lock().unwrap();
                    assert_eq!(store.fault, None);
                    if wanted(&store) {
                        return;
                    }
                }
                changes.changed().await.unwrap();
            }
        };
        let reached = tokio::time::timeout(crate::support::TIMEOUT, reached).await;
        assert!(reached.is_ok(), "stuck: {}", self.store.lock().unwrap().summary());
    }
}

struct Member {
    id: usize,
    core: Core,
    cluster: Cluster,
    transports: Vec<Transport>,
}

struct Transport {
    number: u64,
    /// Number of the next message to write; `None` on uploads.
    cursor: Option<usize>,
    single_flush: bool,
    wrote: bool,
}

impl Member {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.core.introduce(1).await;
        self.core.owns(&[]).await;
        let mut changes = self.cluster.changed.subscribe();
        loop {
            let frames = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                said = self.core.recv() => match said {
                    Some(said) => self.receive(said),
                    None => return,
                },
                _ = changes.changed() => self.write(),
            };
            for frame in frames {
                self.core.say(frame).await;
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Vec<FromCore> {
        match order {
            Order::Claim => {
                self.seize();
                vec![self.owned()]
            }
            Order::Seize => {
                self.seize();
                Vec::new()
            }
            Order::Tell => vec![self.owned()],
            Order::Release => {
                self.leave();
                vec![FromCore::Released(wire::Released { partitions: vec![0] })]
            }
            Order::Die => {
                self.leave();
                self.core.hang_up();
                self.core.introduce(1).await;
                vec![FromCore::Owned(wire::Owned { claims: Vec::new() })]
            }
        }
    }

    fn seize(&mut self) {
        let mut store = self.cluster.store.lock().unwrap();
        store.epoch += 1;
        store.owner = Some(self.id);
        self.transports.clear();
        self.cluster.changed.send_replace(());
    }

    fn leave(&mut self) {
        let mut store = self.cluster.store.lock().unwrap();
        store.owner = store.owner.filter(|&owner| owner != self.id);
        self.transports.clear();
        self.cluster.changed.send_replace(());
    }

    fn owned(&self) -> FromCore {
        let epoch = self.cluster.store.lock().unwrap().epoch;
        FromCore::Owned(wire::Owned { claims: vec![wire::Claim { partition: 0, epoch }] })
    }

    fn receive(&mut self, said: ToCore) -> Vec<FromCore> {
        match said {
            ToCore::Attach(attach) => self.attach(attach),
            ToCore::Batch(batch) => self.batch(batch),
            ToCore::Detach(detach) => {
                self.transports.retain(|transport| transport.number != detach.transport);
                Vec::new()
            }
            ToCore::Grant(_) | ToCore::Hello(_) => Vec::new(),
        }
    }

    fn attach(&mut self, attach: wire::Attach) -> Vec<FromCore> {
        let store = Arc::clone(&self.cluster.store);
        let mut store = store.lock().unwrap();
        if store.owner != Some(self.id) {
            store.refused += 1;
            let cause = Some(wire::close::Cause::Moved(wire::Moved {}));
            let transport = attach.transport;
            return vec![FromCore::Close(wire::Close { transport, cause, ..Default::default() })];
        }
        store.take_sack(attach.sack.as_ref());
        let next = attach.resume.as_ref().and_then(|resume| resume.next_s2c);
        let first = next.map_or(store.acked, |next| usize::try_from(next).unwrap());
        let sack = Some(sack(store.last_received()));
        let mut frames = vec![FromCore::Opened(wire::Opened {
            stream: 1,
            transport: attach.transport,
            created: false,
            sack,
            created_tag: 0,
            heartbeat_after: 0,
            positions: None,
        })];
        if attach.wants_messages {
            let former = self.transports.iter().find(|transport| transport.cursor.is_some());
            if let Some(former) = former.map(|former| former.number) {
                frames.push(self.close(&store, former));
            }
        }
        self.transports.push(Transport {
            number: attach.transport,
            cursor: attach.wants_messages.then_some(first),
            single_flush: attach.single_flush,
            wrote: attach.resume.is_some(),
        });
        drop(store);
        frames.extend(attach.batch.map(|batch| self.batch(batch)).unwrap_or_default());
        frames.extend(self.write());
        frames
    }

    fn batch(&mut self, batch: wire::Batch) -> Vec<FromCore> {
        let store = Arc::clone(&self.cluster.store);
        let mut store = store.lock().unwrap();
        let (transport, number) = (batch.transport, batch.number);
        let known = self.transports.iter().any(|known| known.number == transport);
        if store.owner != Some(self.id) || !known {
            return Vec::new();
        }
        for run in &batch.runs {
            for (number, message) in (run.first..).zip(&run.messages) {
                store.take(number, message);
            }
        }
        for sack in &batch.sacks {
            store.take_sack(Some(sack));
        }
        let sack = Some(sack(store.last_received()));
        let mut frames = vec![FromCore::Taken(wire::Taken { transport, batch: number })];
        if batch.end.is_some() {
            frames.push(self.close(&store, transport));
        } else {
            frames.push(FromCore::Sack(wire::SackUpdate { transport, sack }));
        }
        drop(store);
        self.cluster.changed.send_replace(());
        frames
    }

    /// Writes pending messages to the primary transport, a few at a time.
    fn write(&mut self) -> Vec<FromCore> {
        let store = Arc::clone(&self.cluster.store);
        let store = store.lock().unwrap();
        if store.owner != Some(self.id) {
            return Vec::new();
        }
        let mut frames = Vec::new();
        for transport in &mut self.transports {
            let Some(cursor) = &mut transport.cursor else { continue };
            for messages in store.sent[(*cursor).min(store.sent.len())..].chunks(3) {
                let first = *cursor as u64;
                *cursor += messages.len();
                transport.wrote = true;
                let messages = messages.iter().map(|text| Bytes::from(text.clone())).collect();
                let transport = transport.number;
                frames.push(FromCore::Messages(wire::Messages {
                    transport,
                    first,
                    messages,
                    ..Default::default()
                }));
            }
        }
        let is_full = |transport: &&Transport| transport.single_flush && transport.wrote;
        let full: Vec<_> = self.transports.iter().filter(is_full).map(|t| t.number).collect();
        frames.extend(full.into_iter().map(|number| self.close(&store, number)));
        frames
    }

    fn close(&mut self, store: &Store, transport: u64) -> FromCore {
        self.transports.retain(|known| known.number != transport);
        let sack = Some(sack(store.last_received()));
        FromCore::Close(wire::Close { transport, sack, status: None, cause: None })
    }
}

impl Store {
    pub(crate) fn is_orphaned(&self) -> bool {
        self.owner.is_none()
    }

    pub(crate) fn is_owned_by(&self, core: usize) -> bool {
        self.owner == Some(core)
    }

    fn summary(&self) -> String {
        let (received, sent) = (self.received.len(), self.sent.len());
        let Self { owner, epoch, acked, refused, .. } = self;
        format!("{received} in, {sent} out, {acked} acknowledged; {owner:?} {epoch} {refused}")
    }

    fn last_received(&self) -> i64 {
        i64::try_from(self.received.len()).unwrap() - 1
    }

    fn take(&mut self, number: u64, message: &Bytes) {
        let text = String::from_utf8(message.to_vec()).unwrap();
        let number = usize::try_from(number).unwrap();
        match self.received.get(number) {
            Some(known) if *known == text => {}
            None if number == self.received.len() => self.received.push(text),
            Some(_) | None => {
                self.fault =
                    Some(format!("`{text}` as {number} behind {:?}", self.received.last()));
            }
        }
    }

    fn take_sack(&mut self, sack: Option<&wire::Sack>) {
        let acked = sack.map_or(0, |sack| usize::try_from(sack.acked + 1).unwrap());
        self.acked = self.acked.max(acked);
        if self.acked > self.sent.len() {
            self.fault = Some(format!("{acked} messages acknowledged"));
        }
    }
}
