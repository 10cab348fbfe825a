//! A core's end of a link: reads what the edge says as the core does, routes it to partitions, and lets out what
//! they say. Every output passes the checker.

use std::collections::BTreeMap;

use minerva_core::partition::{LinkHandle, LinkId, Mail, OutputReceiver, output_channel};
use minerva_core::simulation as real;
use minerva_proto::link::decode;
use minerva_proto::link::pb::core_frame::Frame;
use minerva_proto::link::pb::{self, CoreHello, VERSION, edge_frame};
use minerva_proto::link::{
    Attach, Batch, CoreFrame, CoreMessage, EdgeFrame, EdgeMessage, TransportId,
};

use super::Core;
use crate::checker::{Checker, client_of};
use crate::event::Content;
use crate::network::{ConnId, Network, Side};

/// A link.
pub(super) struct Link {
    handle: LinkHandle,
    pub(super) receiver: OutputReceiver<CoreFrame>,
    pub(super) conn: ConnId,
    transports: BTreeMap<TransportId, Attached>,
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
        let (outputs, receiver) = output_channel();
        let handle = LinkHandle { id: LinkId(number), outputs };
        Self { handle, receiver, conn, transports: BTreeMap::new() }
    }

    pub(super) fn let_out(
        &mut self,
        outputs: Vec<CoreFrame>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for output in &outputs {
            let CoreFrame::Transport { transport, message } = output else { continue };
            if let Some(attached) = self.transports.get_mut(transport) {
                checker.on_edge_output(&mut attached.watch, message, net);
            }
            if matches!(message, CoreMessage::Close(_)) {
                self.transports.remove(transport);
            }
        }
        net.trace.note(net.now, "let out to edge", [self.handle.id.0, outputs.len() as u64, 0]);
        net.trace.say(|| format!("{outputs:?}"));
        let frames = real::relay_response(outputs).frames;
        net.send(self.conn, Side::Callee, Content::FromCore(frames));
    }

    fn send(&self, frames: Vec<Frame>, net: &mut Network) {
        let frames = frames.into_iter().map(|frame| pb::CoreFrame { frame: Some(frame) }).collect();
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
        router.remove_link(link.handle.id);
    }

    fn route(
        &mut self,
        number: u64,
        frame: pb::EdgeFrame,
        net: &mut Network,
    ) -> Result<(), String> {
        let router = self.partitions();
        let (Some(link), Some(router)) = (self.links.get_mut(&number), router) else {
            return Ok(());
        };
        let id = link.handle.id;
        if let Some(edge_frame::Frame::Hello(_)) = frame.frame {
            self.greet(number, net);
            return Ok(());
        }
        let EdgeFrame { transport, message } =
            decode::edge_frame(frame).map_err(|error| error.to_string())?;
        match message {
            EdgeMessage::Attach(attach) => self.attach(number, transport, attach, net)?,
            EdgeMessage::Batch(batch) => {
                // It was released in the meantime.
                let Some(attached) = link.transports.get_mut(&transport) else {
                    return Ok(());
                };
                attached.watch.note(&batch);
                router.send(attached.partition, Mail::Batch { link: id, transport, batch });
            }
            EdgeMessage::Detach => {
                if let Some(attached) = link.transports.remove(&transport) {
                    router.send(attached.partition, Mail::Detach { link: id, transport });
                }
            }
            EdgeMessage::Grant(bytes) => {
                if let Some(attached) = link.transports.get(&transport) {
                    router.send(attached.partition, Mail::Grant { link: id, transport, bytes });
                }
            }
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
            router.add_link(link.handle.clone());
        }
    }

    fn attach(
        &mut self,
        number: u64,
        transport: TransportId,
        attach: Box<Attach>,
        net: &mut Network,
    ) -> Result<(), String> {
        let router = self.partitions();
        let (Some(link), Some(router)) = (self.links.get_mut(&number), router) else {
            return Ok(());
        };
        let partition = router.of_id(&attach.stream_id);
        let client = client_of(attach.stream_id.as_str()).ok_or("an unknown stream id")?;
        let mut watch = TransportWatch { client, ..TransportWatch::default() };
        if let Some(batch) = &attach.batch {
            watch.note(batch);
        }
        if link.transports.insert(transport, Attached { partition, watch }).is_some() {
            return Err("attach.transport is attached already".to_owned());
        }
        net.trace.note(net.now, "attach", [client as u64, transport.0, partition.into()]);
        net.trace.say(|| format!("{attach:?}"));
        let handle = link.handle.clone();
        router.send(partition, Mail::Attach { link: handle, transport, attach });
        Ok(())
    }
}

impl TransportWatch {
    fn note(&mut self, batch: &Batch) {
        let runs = batch.runs.iter().map(|run| (run.first.0, run.messages.len() as u64));
        self.batches.insert(batch.number.0, runs.collect());
    }
}
