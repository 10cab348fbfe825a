//! A core's end of a link: reads what the edge says as the core does, routes it to partitions, and lets out what
//! they say. Every output passes the checker.

use std::collections::BTreeMap;

use minerva_core::partition::{LinkHandle, LinkId, Mail, OutputReceiver, outputs};
use minerva_core::simulation as real;
use minerva_core::stream::{EdgeOutput, TransportId};
use minerva_proto::link::core_frame::Frame;
use minerva_proto::link::{self, CoreFrame, CoreHello, VERSION, edge_frame};

use super::Core;
use crate::checker::{Checker, client_of};
use crate::event::Content;
use crate::network::{ConnId, Network, Side};

/// A link.
pub(super) struct Link {
    handle: LinkHandle,
    pub(super) receiver: OutputReceiver<EdgeOutput>,
    pub(super) conn: ConnId,
    transports: BTreeMap<u64, Attached>,
}

/// A transport that was attached.
struct Attached {
    partition: u32,
    watch: TransportWatch,
}

/// What the checker must know of a transport.
#[derive(Debug, Default)]
pub(crate) struct TransportWatch {
    /// Whose it is.
    pub(crate) client: usize,
    /// The strings of each batch that was not taken: number, then first and count.
    pub(crate) batches: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl Link {
    pub(super) fn new(number: u64, conn: ConnId) -> Self {
        let (outputs, receiver) = outputs();
        let handle = LinkHandle { id: LinkId(number), outputs };
        Self { handle, receiver, conn, transports: BTreeMap::new() }
    }

    pub(super) fn let_out(
        &mut self,
        outputs: Vec<EdgeOutput>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for output in &outputs {
            let Some(TransportId(number)) = transport_of(output) else { continue };
            if let Some(attached) = self.transports.get_mut(&number) {
                checker.on_edge_output(&mut attached.watch, output, net);
            }
            if matches!(output, EdgeOutput::Close { .. }) {
                self.transports.remove(&number);
            }
        }
        net.trace.note(net.now, "let out to edge", [self.handle.id.0, outputs.len() as u64, 0]);
        net.trace.say(|| format!("{outputs:?}"));
        let frames = real::relay_response(outputs).frames;
        net.send(self.conn, Side::Callee, Content::FromCore(frames));
    }

    fn send(&self, frames: Vec<Frame>, net: &mut Network) {
        let frames = frames.into_iter().map(|frame| CoreFrame { frame: Some(frame) }).collect();
        net.send(self.conn, Side::Callee, Content::FromCore(frames));
    }
}

impl Core {
    pub(super) fn on_link(
        &mut self,
        number: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Content::ToCore(frames) = content else { return self.on_link_lost(number, net) };
        for frame in frames {
            if let Err(error) = self.route(number, frame, net) {
                checker.violation(format!("an edge says to a core {error}"));
            }
        }
    }

    pub(super) fn on_link_lost(&mut self, number: u64, net: &mut Network) {
        let (Some(link), Some(router)) = (self.links.remove(&number), self.partitions()) else {
            return;
        };
        net.close(link.conn, Side::Callee);
        router.unlink(link.handle.id);
    }

    fn route(
        &mut self,
        number: u64,
        frame: link::EdgeFrame,
        net: &mut Network,
    ) -> Result<(), String> {
        let router = self.partitions();
        let (Some(link), Some(router)) = (self.links.get_mut(&number), router) else {
            return Ok(());
        };
        let id = link.handle.id;
        match frame.frame {
            Some(edge_frame::Frame::Hello(_)) => self.greet(number, net),
            Some(edge_frame::Frame::Attach(attach)) => self.attach(number, attach, net)?,
            Some(edge_frame::Frame::Batch(batch)) => {
                let batch = real::batch(batch)?;
                // It was released in the meantime.
                let Some(attached) = link.transports.get_mut(&batch.transport.0) else {
                    return Ok(());
                };
                attached.watch.note(&batch);
                router.send(attached.partition, Mail::Batch { link: id, batch });
            }
            Some(edge_frame::Frame::Detach(detach)) => {
                if let Some(attached) = link.transports.remove(&detach.transport) {
                    let transport = TransportId(detach.transport);
                    router.send(attached.partition, Mail::Detach { link: id, transport });
                }
            }
            Some(edge_frame::Frame::Grant(grant)) => {
                if let Some(attached) = link.transports.get(&grant.transport) {
                    let (transport, bytes) = (TransportId(grant.transport), grant.s2c_bytes);
                    router.send(attached.partition, Mail::Grant { link: id, transport, bytes });
                }
            }
            None => return Err("an empty frame".to_owned()),
        }
        Ok(())
    }

    fn greet(&self, number: u64, net: &mut Network) {
        let hello = CoreHello {
            version: VERSION,
            core_id: self.name(),
            partitions: self.deployment.partitions,
        };
        if let (Some(link), Some(router)) = (self.links.get(&number), self.partitions()) {
            link.send(vec![Frame::Hello(hello)], net);
            router.link(link.handle.clone());
        }
    }

    fn attach(
        &mut self,
        number: u64,
        attach: link::Attach,
        net: &mut Network,
    ) -> Result<(), String> {
        let router = self.partitions();
        let (Some(link), Some(router)) = (self.links.get_mut(&number), router) else {
            return Ok(());
        };
        let attach = real::attach(attach)?;
        let partition = router.of(&attach.stream_id);
        let client = client_of(attach.stream_id.as_str()).ok_or("an unknown stream id")?;
        let mut watch = TransportWatch { client, ..TransportWatch::default() };
        if let Some(batch) = &attach.batch {
            watch.note(batch);
        }
        if link.transports.insert(attach.transport.0, Attached { partition, watch }).is_some() {
            return Err("attach.transport is attached already".to_owned());
        }
        net.trace.note(net.now, "attach", [client as u64, attach.transport.0, partition.into()]);
        net.trace.say(|| format!("{attach:?}"));
        let handle = link.handle.clone();
        router.send(partition, Mail::Attach { link: handle, attach: Box::new(attach) });
        Ok(())
    }
}

impl TransportWatch {
    fn note(&mut self, batch: &minerva_core::stream::Batch) {
        let runs = batch.runs.iter().map(|run| (run.first, run.messages.len() as u64));
        self.batches.insert(batch.number, runs.collect());
    }
}

fn transport_of(output: &EdgeOutput) -> Option<TransportId> {
    match output {
        EdgeOutput::Owned(_) | EdgeOutput::Released(_) => None,
        EdgeOutput::Opened { transport, .. }
        | EdgeOutput::Sack { transport, .. }
        | EdgeOutput::Messages { transport, .. }
        | EdgeOutput::Close { transport, .. }
        | EdgeOutput::Taken { transport, .. } => Some(*transport),
    }
}
