//! The core's end of the call of an application instance: registration, commands, and the release of outputs. The
//! checker receives every output.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use minerva_core::limits::Limits;
use minerva_core::partition::{
    PartitionTable, SessionHandle, SessionId, SuspectSlot, output_channel,
};
use minerva_core::simulation::{self as convert, Registration};
use minerva_core::state::EndedBy as StoredEndedBy;
use minerva_core::stream::{AppOutput, RefusedReason};
use minerva_proto::app::{Command, Event, event};
use minerva_proto::{Feature, Features};

use super::process::Outputs;
use crate::checker::{Attempt, Checker};
use crate::connection::{ConnId, Side};
use crate::end::{End, EndedBy};
use crate::event::Content;
use crate::messages::Body;
use crate::network::Network;
use crate::observation::{Assigned, InstanceOutput};
use crate::release_0_1;
use crate::wake_flag::LoopWaker;

/// A session of a core.
pub(super) struct Session {
    number: u64,
    /// Whether the core has release 0.1.
    is_old: bool,
    /// Features in use.
    features: Features,
    pub(super) conn: ConnId,
    /// `None` before the registration.
    handle: Option<SessionHandle>,
    /// `None` before the registration.
    outputs: Option<Outputs<AppOutput>>,
    waker: Arc<LoopWaker>,
}

impl Session {
    pub(super) fn new(number: u64, conn: ConnId, is_old: bool, waker: &Arc<LoopWaker>) -> Self {
        let (features, waker) = (Features::NONE, Arc::clone(waker));
        Self { number, is_old, features, conn, handle: None, outputs: None, waker }
    }

    pub(super) fn id(&self) -> SessionId {
        SessionId(self.number)
    }

    /// Whether this is another session of the instance.
    pub(super) fn is_of(&self, instance_id: &Arc<str>) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.instance_id == *instance_id)
    }

    /// Registers the instance with the partitions and confirms the registration.
    pub(super) fn register(
        &mut self,
        registration: Registration,
        limits: &Limits,
        core_name: &str,
        partitions: &PartitionTable,
        net: &mut Network,
    ) {
        let (outputs, receiver) = output_channel();
        let handle = SessionHandle {
            id: self.id(),
            service: registration.service,
            instance_id: registration.instance_id,
            window: registration.window,
            load: Arc::new(AtomicUsize::new(0)),
            has_kinds: registration.features.contains(Feature::MessageKinds),
            has_returned: !registration.held.is_empty(),
            suspect: SuspectSlot::default(),
            outputs,
        };
        self.handle = Some(handle.clone());
        self.features = registration.features;
        self.outputs = Some(Outputs::new(receiver, &self.waker));
        let registered = event::Event::Registered(convert::registered(limits, core_name));
        self.send(vec![Event { event: Some(registered) }], net);
        partitions.add_session(handle, registration.held);
    }

    /// Sends a command to the partition of its stream.
    ///
    /// # Errors
    /// The text of the contract violation.
    pub(super) fn on_command(
        &self,
        command: Command,
        partitions: &PartitionTable,
    ) -> Result<(), String> {
        let (stream, mail) = convert::command(self.id(), command)?;
        let partition = partitions.of_number(stream).ok_or("an impossible stream number")?;
        partitions.send(partition, mail);
        Ok(())
    }

    /// Receives outputs of the partitions.
    pub(super) fn receive(&mut self) -> Vec<AppOutput> {
        self.outputs.as_mut().map(Outputs::receive).unwrap_or_default()
    }

    /// Releases outputs of the partitions to the instance.
    pub(super) fn release(
        &mut self,
        outputs: Vec<AppOutput>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let instance = self.handle.as_ref().map_or("", |handle| &handle.instance_id);
        for output in &outputs {
            checker.on_instance_output(instance, &observed(self.conn, output), net.now);
        }
        net.trace.record(net.now, "release to app", [self.number, outputs.len() as u64, 0]);
        net.trace.detail(|| format!("{outputs:?}"));
        self.send(convert::serve_response(outputs, self.features).events, net);
    }

    fn send(&self, mut events: Vec<Event>, net: &mut Network) {
        if self.is_old {
            events.iter_mut().for_each(release_0_1::event);
        }
        net.send(self.conn, Side::Callee, Content::Events(events));
    }
}

/// An output in the terms of the checker.
fn observed(session: ConnId, output: &AppOutput) -> InstanceOutput {
    match output {
        AppOutput::Started(started) => InstanceOutput::Started {
            assigned: Assigned {
                number: started.stream,
                next_event: started.next_event,
                next_send: started.send_state.next_send,
            },
            assignment: started.assignment,
            attempt: Attempt { session, epoch: started.epoch.0, attempts: started.attempts },
        },
        AppOutput::Messages { stream, first_event, messages, .. } => InstanceOutput::Messages {
            stream: *stream,
            first_event: *first_event,
            messages: messages.iter().map(Body::from).collect(),
        },
        AppOutput::Ended { stream, event, end } => {
            let by = match end.by {
                StoredEndedBy::Client => EndedBy::Client,
                StoredEndedBy::App => EndedBy::App,
                StoredEndedBy::Core => EndedBy::Core,
            };
            let (reason, application_level) =
                (end.reset.reason.clone(), end.reset.application_level);
            let end = End { reason, application_level, by };
            InstanceOutput::Ended { stream: *stream, event: *event, end }
        }
        AppOutput::SendState { stream, state, .. } => {
            InstanceOutput::Sent { stream: *stream, next_send: state.next_send }
        }
        AppOutput::CommandRefused { detail, .. }
        | AppOutput::SendRefused { reason: RefusedReason::Invalid { detail, .. }, .. } => {
            InstanceOutput::Refused(detail.clone())
        }
        AppOutput::SendRefused { reason: RefusedReason::Unsupported(index), .. } => {
            InstanceOutput::Refused(format!("message {index} is not supported"))
        }
        AppOutput::SendRefused { stream, next_send, .. } => {
            InstanceOutput::Sent { stream: *stream, next_send: *next_send }
        }
        AppOutput::Lost { stream, .. } => InstanceOutput::Lost { stream: *stream },
        AppOutput::Released { stream } => InstanceOutput::Released { stream: *stream },
        AppOutput::Rejoined { .. }
        | AppOutput::TransportChanged { .. }
        | AppOutput::PartitionOwned { .. }
        | AppOutput::PartitionLeft { .. }
        | AppOutput::GroupRefused { .. }
        | AppOutput::Renewed { .. }
        | AppOutput::Synced { .. } => InstanceOutput::Other,
    }
}
