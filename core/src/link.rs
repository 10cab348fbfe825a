//! The link server, the interface of a core for edges. Each call of an edge is one link: after the greeting, its frames
//! are checked and routed to the partitions, and the outputs of the partitions are sent back. Has no stream state.
//! Served by [`crate::Core::serve_link`].

mod authentication;
mod coalesce;
mod encode;
mod refusal;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use minerva_proto::link::greeting::{self, EdgeGreeting};
use minerva_proto::link::pb::link_service_server::LinkService;
use minerva_proto::link::pb::{self, RelayRequest, RelayResponse};
use minerva_proto::link::{
    Attach, Batch, CloseCause, CoreFrame, EdgeFrame, EdgeMessage, LinkFrameError, TransportId,
    decode, unknown,
};
use minerva_proto::{ClientProtocol, Feature, ServiceName};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{Access, Right};
use crate::jwt::Authenticator;
use crate::metrics::Metrics;
use crate::outgoing::{Outgoing, OutgoingControl};
use crate::partition::{LinkHandle, LinkId, Mail, PartitionTable};
use crate::stop::StopToken;
use crate::validation::FieldError;
use refusal::{Refusals, RefusedEdges};

/// Time limit for the greeting of an edge, so that silent calls do not accumulate.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// State shared by all links of a core.
pub(crate) struct LinkServer {
    partitions: PartitionTable,
    core_id: Arc<str>,
    access: Access,
    metrics: Metrics,
    stopping: StopToken,
    refused_edges: RefusedEdges,
    /// Newest version of the wire protocol that clients may use.
    wire_version: u32,
    authenticator: Arc<Authenticator>,
    /// Number of the next link.
    next: AtomicU64,
}

impl LinkServer {
    pub(crate) fn new(
        partitions: PartitionTable,
        core_id: Arc<str>,
        access: Access,
        metrics: Metrics,
        stopping: StopToken,
        wire_version: u32,
        authenticator: Arc<Authenticator>,
    ) -> Self {
        let (refused_edges, next) = (RefusedEdges::default(), AtomicU64::new(1));
        Self {
            partitions,
            core_id,
            access,
            metrics,
            stopping,
            refused_edges,
            wire_version,
            authenticator,
            next,
        }
    }
}

#[tonic::async_trait]
impl LinkService for LinkServer {
    type RelayStream = Outgoing<CoreFrame>;

    async fn relay(
        &self,
        request: Request<Streaming<RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let authorization = request.metadata().get("authorization").map(|value| value.as_bytes());
        let caller = self.access.caller(authorization, request.extensions())?;
        self.access.check(&caller, Right::Edge, None)?;
        let access = self.access.clone();
        let (control, outgoing) = Outgoing::new();
        let id = LinkId(self.next.fetch_add(1, Ordering::Relaxed));
        let OutgoingControl { greeting, outputs, end } = control;
        let link = Link {
            handle: LinkHandle { id, claim_tags: false, outputs },
            partitions: self.partitions.clone(),
            transports: HashMap::new(),
            refusals: Refusals::new(id, self.metrics.clone()),
            refused_edges: self.refused_edges.clone(),
            metrics: self.metrics.clone(),
            wire_version: self.wire_version,
            authenticator: Arc::clone(&self.authenticator),
        };
        let (core_id, stopping) = (Arc::clone(&self.core_id), self.stopping.clone());
        let (partitions, hash) = (self.partitions.count(), self.partitions.hash());
        let wire_version = self.wire_version;
        tokio::spawn(async move {
            let answer = move || {
                let hello = greeting::core_hello(core_id.to_string(), partitions, hash);
                let hello = pb::CoreHello { wire_version, ..hello };
                let frame = Some(pb::core_frame::Frame::Hello(hello));
                let hello = RelayResponse { frames: vec![pb::CoreFrame { frame }] };
                // Fails if the edge has hung up.
                let _ = greeting.send((hello, ()));
            };
            let _ = end.send(tokio::select! {
                result = link.run(request.into_inner(), answer, stopping) => result,
                error = access.revoked(&caller) => Err(error.into()),
            });
        });
        Ok(Response::new(outgoing))
    }
}

/// The reading half of one link.
struct Link {
    handle: LinkHandle,
    partitions: PartitionTable,
    /// All attached and refused transports, up to their Detach.
    transports: HashMap<TransportId, Attachment>,
    refusals: Refusals,
    refused_edges: RefusedEdges,
    metrics: Metrics,
    /// Newest version of the wire protocol that clients may use.
    wire_version: u32,
    authenticator: Arc<Authenticator>,
}

/// State of a transport on this link.
#[derive(Debug, Clone)]
enum Attachment {
    /// Attached, by way of this partition. The service is kept if it requires a token.
    To(u32, Option<ServiceName>),
    /// Closed for an invalid frame or the version. Later frames are ignored up to the Detach.
    Refused,
}

impl Link {
    /// Serves the link to its end; `answer` sends the greeting of the core.
    async fn run(
        mut self,
        mut incoming: Streaming<RelayRequest>,
        answer: impl FnOnce(),
        mut stopping: StopToken,
    ) -> Result<(), Status> {
        let (hello, rest) = first_request(&mut incoming).await?;
        let edge = self.accept(hello)?;
        self.handle.claim_tags = edge.features.contains(Feature::ClaimTags);
        answer();
        self.partitions.add_link(self.handle.clone());
        let features = edge.features.names();
        tracing::info!(link = self.handle.id.0, edge = ?edge.edge_id, ?features, "edge linked");
        self.metrics.links.inc();
        let closed = self.handle.outputs.clone();
        let result = tokio::select! {
            result = self.read(rest, incoming) => result,
            () = closed.closed() => Ok(()),
            () = stopping.stopped() => Err(Status::unavailable("the core is stopping")),
        };
        let id = self.handle.id;
        self.partitions.remove_link(id);
        self.metrics.links.dec();
        let error = result.as_ref().err().map(Status::message);
        tracing::info!(link = id.0, edge = ?edge.edge_id, error, "link ended");
        result
    }

    fn accept(&self, hello: pb::EdgeHello) -> Result<EdgeGreeting, Status> {
        let edge_id = hello.edge_id.clone();
        greeting::accept_edge(hello, self.partitions.hash()).map_err(|error| {
            self.refused_edges.record(&edge_id, &error);
            Status::failed_precondition(error.to_string())
        })
    }

    async fn read(
        &mut self,
        rest: Vec<pb::EdgeFrame>,
        mut incoming: Streaming<RelayRequest>,
    ) -> Result<(), Status> {
        self.route_all(rest);
        while let Some(request) = incoming.message().await? {
            self.route_all(request.frames);
        }
        Ok(())
    }

    fn route_all(&mut self, frames: Vec<pb::EdgeFrame>) {
        self.metrics.link_frames_in.inc_by(frames.len() as u64);
        for frame in frames {
            self.route(frame);
        }
    }

    fn route(&mut self, frame: pb::EdgeFrame) {
        self.metrics.count_unknown_from_edge(unknown::in_edge_frame(&frame));
        if frame.frame.is_none() {
            return;
        }
        let outcome = decode::edge_frame(frame).and_then(|EdgeFrame { transport, message }| {
            match message {
                EdgeMessage::Attach(attach) => self.attach(transport, attach)?,
                EdgeMessage::Batch(batch) => self.batch(transport, batch)?,
                EdgeMessage::Grant(bytes) => self.grant(transport, bytes),
                EdgeMessage::Detach => self.detach(transport),
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.refuse(&error);
        }
    }

    fn attach(
        &mut self,
        transport: TransportId,
        mut attach: Box<Attach>,
    ) -> Result<(), LinkFrameError> {
        if self.transports.contains_key(&transport) {
            let problem = "is attached already";
            return Err(LinkFrameError::new(Some(transport), "attach.transport", problem));
        }
        if attach.protocol != ClientProtocol::V2 && self.wire_version < 3 {
            self.transports.insert(transport, Attachment::Refused);
            self.handle.outputs.send(CoreFrame::close(transport, CloseCause::WrongVersion));
            return Ok(());
        }
        let service = Some(&attach.caller.service);
        let service = service.filter(|service| self.authenticator.is_required(service.as_str()));
        let service = service.cloned();
        if let Some(service) = &service
            && let Err(cause) = self.authenticate(service, &mut attach)
        {
            self.transports.insert(transport, Attachment::Refused);
            self.handle.outputs.send(CoreFrame::close(transport, cause));
            return Ok(());
        }
        let partition = self.partitions.of_id(&attach.stream_id);
        self.transports.insert(transport, Attachment::To(partition, service));
        let mail = Mail::Attach { link: self.handle.clone(), transport, attach };
        self.partitions.send(partition, mail);
        Ok(())
    }

    fn batch(&self, transport: TransportId, mut batch: Batch) -> Result<(), LinkFrameError> {
        match self.transports.get(&transport) {
            Some(Attachment::To(partition, service)) => {
                if let Some(service) = service {
                    self.authenticate_batch(service, &mut batch);
                }
                let mail = Mail::Batch { link: self.handle.id, transport, batch };
                self.partitions.send(*partition, mail);
                Ok(())
            }
            Some(Attachment::Refused) => Ok(()),
            None => {
                let problem = "is not attached";
                Err(LinkFrameError::new(Some(transport), "batch.transport", problem))
            }
        }
    }

    fn grant(&self, transport: TransportId, bytes: u64) {
        if let Some(Attachment::To(partition, _)) = self.transports.get(&transport) {
            let mail = Mail::Grant { link: self.handle.id, transport, bytes };
            self.partitions.send(*partition, mail);
        }
    }

    fn detach(&mut self, transport: TransportId) {
        if let Some(Attachment::To(partition, _)) = self.transports.remove(&transport) {
            self.partitions.send(partition, Mail::Detach { link: self.handle.id, transport });
        }
    }

    /// Closes the transport of an invalid frame; all others of the link go on. Later frames of the same transport were
    /// sent before the edge received the refusal.
    fn refuse(&mut self, error: &LinkFrameError) {
        if let Some(transport) = error.transport
            && matches!(self.transports.get(&transport), Some(Attachment::Refused))
        {
            return;
        }
        self.refusals.record(error);
        let Some(transport) = error.transport else { return };
        self.detach(transport);
        self.transports.insert(transport, Attachment::Refused);
        let cause = CloseCause::Refused { reason: error.to_string() };
        self.handle.outputs.send(CoreFrame::close(transport, cause));
    }
}

/// Reads the hello of the edge; returns also the other frames of the same request.
async fn first_request(
    incoming: &mut Streaming<RelayRequest>,
) -> Result<(pb::EdgeHello, Vec<pb::EdgeFrame>), Status> {
    let missing = || Status::from(FieldError::new("hello", "must be the first frame"));
    let first = timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("hello: no greeting in time"))??;
    let mut frames = first.ok_or_else(missing)?.frames;
    if frames.is_empty() {
        return Err(missing());
    }
    let rest = frames.split_off(1);
    let Some(Some(pb::edge_frame::Frame::Hello(hello))) = frames.pop().map(|frame| frame.frame)
    else {
        return Err(missing());
    };
    Ok((hello, rest))
}
