//! The tasks of a running core: the real ownership task with the real partition tasks, and an observer of claims.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use minerva_core::limits::Limits;
use minerva_core::partition::{
    LinkHandle, LinkId, OutputReceiver, PartitionOptions, PartitionTable, output_channel,
};
use minerva_core::simulation::{SimulatedProcess, in_process, run_ownership};
use minerva_proto::PartitionHash;
use minerva_proto::link::CoreFrame;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::event::Life;
use crate::store::{CallQueue, StoreHandle};
use crate::wake_flag::{LoopWaker, WakeFlag};

/// Outputs read at once.
const OUTPUT_BATCH: usize = 256;

/// A link without an edge, which receives the claims.
const OBSERVER_LINK: LinkId = LinkId(u64::MAX);

/// Notification that a stopping core has released all partitions.
#[derive(Debug)]
pub(crate) struct CoreStopped {
    pub(crate) core: usize,
    pub(crate) life: Life,
}

/// Settings of all cores of a run.
#[derive(Clone)]
pub(crate) struct Deployment {
    pub(crate) partitions: u32,
    pub(crate) hash: PartitionHash,
    pub(crate) limits: Limits,
    pub(crate) options: PartitionOptions,
    /// Whether the operator permits version 3 of the wire.
    pub(crate) serves_v3: bool,
    pub(crate) queue: CallQueue,
    pub(crate) stopped: mpsc::UnboundedSender<CoreStopped>,
}

/// Outputs of the partitions for one peer.
pub(super) struct Outputs<T> {
    receiver: OutputReceiver<T>,
    flag: WakeFlag,
}

/// State of a core between start and crash.
pub(super) struct Process {
    pub(super) partitions: PartitionTable,
    pub(super) suspension: Arc<SimulatedProcess>,
    pub(super) task: AbortHandle,
    /// Releases all partitions; `None` once sent.
    pub(super) stop: Option<oneshot::Sender<()>>,
    observer: Outputs<CoreFrame>,
    /// Announced partitions.
    pub(super) owned: BTreeSet<u32>,
}

impl<T> Outputs<T> {
    pub(super) fn new(receiver: OutputReceiver<T>, waker: &Arc<LoopWaker>) -> Self {
        Self { receiver, flag: WakeFlag::new(waker) }
    }

    /// Receives all outputs.
    pub(super) fn receive(&mut self) -> Vec<T> {
        let mut outputs = Vec::new();
        if let Some(mut cx) = self.flag.take() {
            while let Poll::Ready(1..) =
                self.receiver.poll_many(&mut cx, &mut outputs, OUTPUT_BATCH)
            {}
        }
        outputs
    }
}

impl Process {
    pub(super) fn spawn(
        core: usize,
        life: Life,
        is_standby: bool,
        deployment: Deployment,
        waker: &Arc<LoopWaker>,
    ) -> Self {
        let Deployment { partitions, hash, limits, options, queue, stopped, serves_v3: _ } =
            deployment;
        let partitions = PartitionTable::new(partitions, hash);
        let (outputs, observer) = output_channel();
        partitions.add_link(LinkHandle { id: OBSERVER_LINK, claim_tags: false, outputs });
        let (stop, stopping) = oneshot::channel();
        let options = PartitionOptions { standby: is_standby, ..options };
        let name: Arc<str> = name(core, life).into();
        let store = Arc::new(StoreHandle::new(core, Arc::clone(&name), queue));
        let ownership = run_ownership(name, store, partitions.clone(), limits, options, stopping);
        let suspension = Arc::<SimulatedProcess>::default();
        let task = tokio::spawn(in_process(Arc::clone(&suspension), async move {
            ownership.await;
            // The receiver is closed at the end of the run.
            let _ = stopped.send(CoreStopped { core, life });
        }));
        let (task, stop, owned) = (task.abort_handle(), Some(stop), BTreeSet::new());
        let observer = Outputs::new(observer, waker);
        Self { partitions, suspension, task, stop, observer, owned }
    }

    /// Reads announced and released partitions.
    pub(super) fn update_owned(&mut self) {
        for output in self.observer.receive() {
            if let CoreFrame::Owned(claims) = output {
                self.owned.extend(claims.iter().map(|claim| claim.partition));
            } else if let CoreFrame::Released(partitions) = output {
                self.owned.retain(|partition| !partitions.contains(partition));
            }
        }
    }
}

/// The name of a core in one life, for claims and hellos.
pub(super) fn name(core: usize, life: Life) -> String {
    format!("core-{core}-{life}")
}
