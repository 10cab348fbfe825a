//! The core's end of a link: decodes edge frames with the codec of the link, sends them to partitions, and releases
//! outputs to the edge. The checker receives every output.

use std::collections::BTreeMap;
use std::sync::Arc;

use minerva_core::partition::{LinkHandle, LinkId, Mail, PartitionTable, output_channel};
use minerva_core::simulation as convert;
use minerva_proto::link::pb::{self, CoreHello, core_frame, edge_frame};
use minerva_proto::link::{
    Attach, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, TransportId, decode, greeting,
};
use minerva_proto::{Feature, PartitionHash};

use super::process::Outputs;
use crate::checker::{Checker, TransportWatch};
use crate::connection::{ConnId, Side};
use crate::event::Content;
use crate::messages::client_of;
use crate::network::Network;
use crate::release_0_1;
use crate::thief::FIRST_TRANSPORT;
use crate::wake_flag::LoopWaker;

/// A link of a core.
pub(super) struct Link {
    handle: LinkHandle,
    /// Whether the core has release 0.1.
    is_old: bool,
    outputs: Outputs<CoreFrame>,
    pub(super) conn: ConnId,
    transports: BTreeMap<TransportId, AttachedTransport>,
}

struct AttachedTransport {
    partition: u32,
    watch: TransportWatch,
}

impl Link {
    pub(super) fn new(number: u64, conn: ConnId, is_old: bool, waker: &Arc<LoopWaker>) -> Self {
        let (outputs, receiver) = output_channel();
        let handle = LinkHandle { id: LinkId(number), claim_tags: false, outputs };
        let outputs = Outputs::new(receiver, waker);
        Self { handle, is_old, outputs, conn, transports: BTreeMap::new() }
    }

    pub(super) fn id(&self) -> LinkId {
        self.handle.id
    }

    /// Receives outputs of the partitions.
    pub(super) fn receive(&mut self) -> Vec<CoreFrame> {
        self.outputs.receive()
    }

    /// Releases outputs of the partitions to the edge.
    pub(super) fn release(
        &mut self,
        outputs: Vec<CoreFrame>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for output in &outputs {
            let CoreFrame::Transport { transport, message } = output else { continue };
            if let Some(attached) = self.transports.get_mut(transport) {
                checker.on_core_message(&mut attached.watch, message, net.now);
            }
            if matches!(message, CoreMessage::Close(_)) {
                self.transports.remove(transport);
            }
        }
        net.trace.record(net.now, "release to edge", [self.id().0, outputs.len() as u64, 0]);
        net.trace.detail(|| format!("{outputs:?}"));
        self.send(convert::relay_response(outputs).frames, net);
    }

    fn send(&self, mut frames: Vec<pb::CoreFrame>, net: &mut Network) {
        if self.is_old {
            frames.iter_mut().for_each(release_0_1::core_frame);
        }
        net.send(self.conn, Side::Callee, Content::FromCore(frames));
    }

    /// Handles the hello of the edge: responds with the hello of the core and announces the link.
    fn on_hello(
        &mut self,
        edge: pb::EdgeHello,
        hello: &CoreHello,
        partitions: &PartitionTable,
        net: &mut Network,
    ) -> Result<(), String> {
        let hash = PartitionHash::from_key(&hello.partition_key).map_err(|e| e.to_string())?;
        let edge = greeting::accept_edge(edge, hash).map_err(|error| error.to_string())?;
        self.send(
            vec![pb::CoreFrame { frame: Some(core_frame::Frame::Hello(hello.clone())) }],
            net,
        );
        self.handle.claim_tags = edge.features.contains(Feature::ClaimTags) && !self.is_old;
        partitions.add_link(self.handle.clone());
        Ok(())
    }

    /// Decodes a frame and sends the content to the partition.
    ///
    /// # Errors
    /// The text of the contract violation.
    pub(super) fn on_frame(
        &mut self,
        mut frame: pb::EdgeFrame,
        hello: &CoreHello,
        partitions: &PartitionTable,
        net: &mut Network,
    ) -> Result<(), String> {
        if self.is_old {
            release_0_1::edge_frame(&mut frame);
        }
        if let Some(edge_frame::Frame::Hello(edge)) = frame.frame {
            return self.on_hello(edge, hello, partitions, net);
        }
        let EdgeFrame { transport, message } =
            decode::edge_frame(frame).map_err(|error| error.to_string())?;
        let link = self.id();
        match message {
            EdgeMessage::Attach(attach) => self.attach(transport, attach, partitions, net)?,
            EdgeMessage::Batch(batch) => {
                // The core may have closed the transport in the meantime.
                if let Some(attached) = self.transports.get_mut(&transport) {
                    attached.watch.on_batch(&batch);
                    partitions.send(attached.partition, Mail::Batch { link, transport, batch });
                }
            }
            EdgeMessage::Detach => {
                if let Some(attached) = self.transports.remove(&transport) {
                    partitions.send(attached.partition, Mail::Detach { link, transport });
                }
            }
            EdgeMessage::Grant(bytes) => {
                if let Some(attached) = self.transports.get(&transport) {
                    partitions.send(attached.partition, Mail::Grant { link, transport, bytes });
                }
            }
        }
        Ok(())
    }

    fn attach(
        &mut self,
        transport: TransportId,
        attach: Box<Attach>,
        partitions: &PartitionTable,
        net: &mut Network,
    ) -> Result<(), String> {
        let partition = partitions.of_id(&attach.stream_id);
        let client = client_of(attach.stream_id.as_str()).ok_or("an unknown stream id")?;
        let is_foreign = attach.transport_number >= FIRST_TRANSPORT;
        let mut watch = TransportWatch::new(client, is_foreign);
        if let Some(batch) = &attach.batch {
            watch.on_batch(batch);
        }
        let attached = AttachedTransport { partition, watch };
        if self.transports.insert(transport, attached).is_some() {
            return Err(format!("transport {transport} is attached already"));
        }
        net.trace.record(net.now, "attach", [client as u64, transport.0, partition.into()]);
        net.trace.detail(|| format!("{attach:?}"));
        let link = self.handle.clone();
        partitions.send(partition, Mail::Attach { link, transport, attach });
        Ok(())
    }
}
