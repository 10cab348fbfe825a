//! Test harness of a partition: its task, a link, and sessions with readable outputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use minerva_proto::link::{
    Attach, Batch, Caller, CloseCause, CoreFrame, CoreMessage, Run, TransportId,
};
use minerva_proto::{
    BatchNumber, ClientProtocol, MessageNumber, PartitionHash, Payload, ReceivedTags, Sack,
    StreamId, StreamNumber, TransportKind, TransportNumber,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::store::TestStore;
use crate::limits::Limits;
use crate::memory_budget::MemoryBudget;
use crate::partition::{
    Counters, HeldStream, LinkHandle, LinkId, Mail, OutputReceiver, Partition, PartitionOptions,
    PartitionSetup, PartitionTable, SessionHandle, SessionId, SuspectSlot, Usage, output_channel,
};
use crate::state::VersionInForce;
use crate::store::{Epoch, Store, StoreError};
use crate::stream::{AppOutput, Millis};

pub(super) const LINK: LinkId = LinkId(1);

/// A running partition.
pub(super) struct Harness {
    pub(super) partitions: PartitionTable,
    pub(super) task: JoinHandle<Result<(), StoreError>>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) counters: Arc<Counters>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) usage: Usage,
    pub(super) link: LinkHandle,
    pub(super) edge: OutputReceiver<CoreFrame>,
    /// Newest stored content that the partition may write.
    pub(super) stored_version: VersionInForce,
}

/// A session with the receiving end of its outputs.
pub(super) struct TestSession {
    pub(super) handle: SessionHandle,
    pub(super) app: OutputReceiver<AppOutput>,
}

impl Harness {
    pub(super) async fn start(store: &TestStore) -> Self {
        Self::start_with(store, Limits::default(), options(), false).await
    }

    pub(super) async fn start_with(
        store: &TestStore,
        limits: Limits,
        options: PartitionOptions,
        is_gate_open: bool,
    ) -> Self {
        let claimed = store.claim(0, "core", Epoch(0)).await.unwrap();
        let partitions = PartitionTable::new(1, PartitionHash::UNKEYED);
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = clock.clone();
        let (counters, usage) = (Arc::new(Counters::default()), Usage::default());
        let stored_version = VersionInForce::default();
        let memory = Arc::new(MemoryBudget::new(0, counters.clone()));
        let setup = PartitionSetup {
            partition: 0,
            count: 1,
            owner: "core".into(),
            last_epoch: Arc::default(),
            stored_version: stored_version.clone(),
            store: Arc::new(store.clone()),
            mail: partitions.open(0, claimed.epoch),
            limits,
            options,
            clock: Arc::new(move || Millis(time.load(Ordering::Relaxed))),
            wall_clock: Arc::new(|| Millis(1_700_000_000_000)),
            usage: usage.clone(),
            counters: counters.clone(),
            memory: Arc::clone(&memory),
        };
        let mut partition = Partition::recover(setup, &claimed).unwrap();
        partition.gate.is_open = is_gate_open;
        let task = tokio::spawn(partition.serve());
        let (outputs, edge) = output_channel();
        let link = LinkHandle { id: LINK, claim_tags: true, outputs };
        Self { partitions, task, clock, counters, memory, usage, link, edge, stored_version }
    }

    pub(super) fn send(&self, mail: Mail) {
        self.partitions.send(0, mail);
    }

    pub(super) fn attach(&self, attach: Attach) {
        let transport = transport_of(&attach);
        self.send(Mail::Attach { link: self.link.clone(), transport, attach: Box::new(attach) });
    }

    pub(super) fn batch(&self, transport: u64, batch: Batch) {
        self.send(Mail::Batch { link: LINK, transport: TransportId(transport), batch });
    }

    pub(super) fn join(&self, id: u64, instance: &str, held: &[u64]) -> TestSession {
        self.join_as("default", id, instance, held)
    }

    pub(super) fn join_as(
        &self,
        service: &str,
        id: u64,
        instance: &str,
        held: &[u64],
    ) -> TestSession {
        let held = held.iter().map(|number| StreamNumber(*number).into()).collect();
        self.join_holding(service, id, instance, held)
    }

    /// A session of an instance that reports these streams with their tags.
    pub(super) fn join_holding(
        &self,
        service: &str,
        id: u64,
        instance: &str,
        held: Vec<HeldStream>,
    ) -> TestSession {
        self.join_session(service, (id, instance), held, true)
    }

    /// A session of an instance without the feature `message-kinds`.
    pub(super) fn join_without_kinds(&self, id: u64, instance: &str) -> TestSession {
        self.join_session("default", (id, instance), Vec::new(), false)
    }

    fn join_session(
        &self,
        service: &str,
        (id, instance): (u64, &str),
        held: Vec<HeldStream>,
        has_kinds: bool,
    ) -> TestSession {
        let (outputs, app) = output_channel();
        let handle = SessionHandle {
            id: SessionId(id),
            service: service.into(),
            instance_id: instance.into(),
            window: 1000,
            load: Arc::new(AtomicUsize::new(0)),
            has_kinds,
            has_returned: !held.is_empty(),
            suspect: SuspectSlot::default(),
            outputs,
        };
        self.send(Mail::InstanceJoined { session: handle.clone(), held });
        TestSession { handle, app }
    }

    pub(super) fn edge_outputs(&mut self) -> Vec<CoreFrame> {
        std::iter::from_fn(|| self.edge.try_next()).collect()
    }

    /// The refusals among the outputs: reason and retry time in seconds.
    pub(super) fn refusals(&mut self) -> Vec<(String, u64)> {
        let of = |frame: CoreFrame| {
            let Some(CoreMessage::Close(close)) = frame.message() else { return None };
            let CloseCause::Unavailable { reason, retry_after } = &close.cause else { return None };
            Some((reason.clone(), retry_after.as_secs()))
        };
        self.edge_outputs().into_iter().filter_map(of).collect()
    }

    /// Advances the clock and triggers a turn.
    pub(super) async fn wait(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
        self.send(Mail::LinkLost(LinkId(99)));
        run_until_idle().await;
    }

    pub(super) async fn stop(self) -> Result<(), StoreError> {
        let (done, is_done) = oneshot::channel();
        self.send(Mail::Stop { done });
        let result = self.task.await.unwrap();
        assert_eq!(is_done.await.is_ok(), result.is_ok());
        result
    }
}

impl TestSession {
    /// All outputs except PartitionOwned.
    pub(super) fn outputs(&mut self) -> Vec<AppOutput> {
        let is_other = |output: &AppOutput| !matches!(output, AppOutput::PartitionOwned { .. });
        std::iter::from_fn(|| self.app.try_next()).filter(is_other).collect()
    }

    /// The streams assigned by the outputs, and whether they were resumed.
    pub(super) fn started(&mut self) -> Vec<(u64, bool)> {
        let outputs = self.outputs().into_iter();
        let started = outputs.filter_map(|output| {
            let AppOutput::Started(started) = output else { return None };
            Some((started.stream.0, started.resumed))
        });
        started.collect()
    }
}

/// Lets the task of the partition run until it waits.
pub(super) async fn run_until_idle() {
    for _ in 0..30 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn options() -> PartitionOptions {
    PartitionOptions { app_grace: Duration::from_secs(2), ..PartitionOptions::default() }
}

/// A `new` hello on a primary transport; `stream` is padded to a stream id.
pub(in crate::partition) fn hello(transport: u64, stream: &str) -> Attach {
    Attach {
        stream_id: StreamId::parse(&format!("{stream:-<24}")).unwrap(),
        transport_number: TransportNumber(transport),
        create: true,
        wants_messages: true,
        succeeds: None,
        seen_ack: Sack::NONE,
        sack: None,
        single_flush: false,
        heartbeat: false,
        kind: Some(TransportKind::WebSocket),
        credentials: String::new(),
        why: String::new(),
        caller: Arc::default(),
        s2c_bytes: 1 << 20,
        resume: None,
        batch: None,
        tag_history: ReceivedTags::default(),
        created: None,
        protocol: ClientProtocol::V2,
        identity: None,
    }
}

/// In tests the number of a transport on its link is the number in its hello.
pub(super) fn transport_of(attach: &Attach) -> TransportId {
    TransportId(attach.transport_number.0)
}

/// A client that requests this service.
pub(super) fn requesting(service: &str) -> Arc<Caller> {
    Arc::new(Caller { service: service.parse().unwrap(), ..Caller::default() })
}

pub(super) fn is_opened(frame: &CoreFrame) -> bool {
    matches!(frame.message(), Some(CoreMessage::Opened { .. }))
}

/// Sends message `number` of stream 1 in a batch with the same number.
pub(super) fn send(harness: &Harness, number: u64) {
    harness.batch(1, messages(number, number, vec![format!("message {number}").into()]));
}

pub(super) fn messages(number: u64, first: u64, messages: Vec<Payload>) -> Batch {
    Batch {
        number: BatchNumber(number),
        runs: vec![Run { first: MessageNumber(first), messages }],
        sacks: Vec::new(),
        tag_history: ReceivedTags::default(),
        reset: None,
        ..Batch::default()
    }
}
