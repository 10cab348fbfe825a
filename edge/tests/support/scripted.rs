//! A scripted core: the core's side of a link under control of the test.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use minerva_proto::PartitionHash;
use minerva_proto::link::greeting;
use minerva_proto::link::pb as wire;
use minerva_proto::link::pb::core_frame::Frame as FromCore;
use minerva_proto::link::pb::edge_frame::Frame as ToCore;
use minerva_proto::link::pb::link_service_server::LinkServiceServer;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::raw_server::{self, RawCall};
use super::{QUIET, TIMEOUT, sack};

/// A scripted core.
pub(crate) struct Core {
    pub(crate) address: SocketAddr,
    calls: mpsc::Receiver<RawCall>,
    call: Option<Call>,
}

struct Call {
    raw: RawCall,
    waiting: VecDeque<wire::EdgeFrame>,
}

impl Core {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = raw_server::serve::<LinkServiceServer<()>>(listener);
        Self { address, calls, call: None }
    }

    /// Accepts the next call of the edge and claims the only partition with epoch 1.
    pub(crate) async fn greet(&mut self) {
        self.introduce(1).await;
        self.owns(&[(0, 1)]).await;
    }

    /// Accepts the next call of the edge.
    pub(crate) async fn introduce(&mut self, partitions: u32) {
        self.introduce_with(partitions, PartitionHash::UNKEYED).await;
    }

    /// Accepts the next call of the edge, with this partition hash.
    pub(crate) async fn introduce_with(&mut self, partitions: u32, hash: PartitionHash) {
        let core_id = format!("core-{}", self.address.port());
        self.introduce_as(greeting::core_hello(core_id, partitions, hash)).await;
    }

    /// Accepts the next call of the edge, with this greeting.
    pub(crate) async fn introduce_as(&mut self, own: wire::CoreHello) {
        let call = tokio::time::timeout(TIMEOUT, self.calls.recv()).await.unwrap().unwrap();
        self.call = Some(Call { raw: call, waiting: VecDeque::new() });
        let ToCore::Hello(hello) = self.next().await else { panic!("no EdgeHello") };
        assert_eq!(hello.version, wire::VERSION);
        assert!(hello.edge_id.starts_with("edge-"), "{}", hello.edge_id);
        self.say(FromCore::Hello(own)).await;
    }

    /// Whether the edge calls within the observation time.
    pub(crate) async fn is_called(&mut self) -> bool {
        tokio::time::timeout(3 * QUIET, self.calls.recv()).await.is_ok()
    }

    /// Partitions and their epochs.
    pub(crate) async fn owns(&mut self, claims: &[(u32, u64)]) {
        let claim = |&(partition, epoch)| wire::Claim { partition, epoch };
        let claims = claims.iter().map(claim).collect();
        self.say(FromCore::Owned(wire::Owned { claims })).await;
    }

    pub(crate) async fn releases(&mut self, partitions: &[u32]) {
        let partitions = partitions.to_vec();
        self.say(FromCore::Released(wire::Released { partitions })).await;
    }

    pub(crate) async fn moved(&mut self, transport: u64) {
        let cause = Some(wire::close::Cause::Moved(wire::Moved {}));
        self.say(FromCore::Close(wire::Close { transport, cause, ..Default::default() })).await;
    }

    /// Asserts that the edge has ended the call, or has never called.
    pub(crate) async fn is_left(&mut self) {
        let left = async { while self.recv().await.is_some() {} };
        tokio::time::timeout(TIMEOUT, left).await.expect("the edge stays");
    }

    /// Ends the call.
    pub(crate) fn hang_up(&mut self) {
        self.call = None;
    }

    pub(crate) async fn next(&mut self) -> ToCore {
        let frame = tokio::time::timeout(TIMEOUT, self.recv()).await.expect("the edge is silent");
        frame.expect("the edge hung up")
    }

    /// Next frame of the edge; `None` after the end of the call.
    pub(crate) async fn recv(&mut self) -> Option<ToCore> {
        let call = self.call.as_mut().expect("no call");
        while call.waiting.is_empty() {
            let message = call.raw.requests.message().await.ok().flatten()?;
            let message = wire::RelayRequest::decode(message).unwrap();
            assert!(!message.frames.is_empty() && message.frames.len() <= 64);
            call.waiting.extend(message.frames);
        }
        call.waiting.pop_front().map(|frame| frame.frame.expect("a frame without content"))
    }

    /// Asserts that the edge sends no frame within the observation time.
    pub(crate) async fn expect_silence(&mut self) {
        if let Ok(frame) = tokio::time::timeout(QUIET, self.recv()).await {
            panic!("{frame:?}");
        }
    }

    pub(crate) async fn attach(&mut self) -> wire::Attach {
        let frame = self.next().await;
        let ToCore::Attach(attach) = frame else { panic!("{frame:?} instead of Attach") };
        attach
    }

    pub(crate) async fn batch(&mut self) -> wire::Batch {
        let frame = self.next().await;
        let ToCore::Batch(batch) = frame else { panic!("{frame:?} instead of Batch") };
        batch
    }

    pub(crate) async fn detach(&mut self) -> u64 {
        let frame = self.next().await;
        let ToCore::Detach(detach) = frame else { panic!("{frame:?} instead of Detach") };
        detach.transport
    }

    /// As [`Self::detach`], for a client that has received messages: their credit may return before.
    pub(crate) async fn detach_after_grants(&mut self) {
        let mut frame = self.next().await;
        while matches!(frame, ToCore::Grant(_)) {
            frame = self.next().await;
        }
        assert!(matches!(frame, ToCore::Detach(_)), "{frame:?} instead of Detach");
    }

    /// Sends a frame without content.
    pub(crate) async fn say_nothing(&mut self) {
        let frames = vec![wire::CoreFrame { frame: None }];
        self.say_raw(wire::RelayResponse { frames }.encode_to_vec().into()).await;
    }

    pub(crate) async fn say(&mut self, frame: FromCore) {
        let frames = vec![wire::CoreFrame { frame: Some(frame) }];
        self.say_raw(wire::RelayResponse { frames }.encode_to_vec().into()).await;
    }

    /// Sends an encoded response.
    pub(crate) async fn say_raw(&mut self, response: Bytes) {
        let call = self.call.as_ref().expect("no call");
        call.raw.responses.send(Ok(response)).await.unwrap();
    }

    pub(crate) async fn opened(&mut self, transport: u64, created: bool) {
        self.say(FromCore::Opened(wire::Opened {
            transport,
            created,
            sack: None,
            stream: 1,
            created_tag: 0,
            heartbeat_after: 0,
            positions: None,
        }))
        .await;
    }

    pub(crate) async fn messages(&mut self, transport: u64, first: u64, messages: &[&str]) {
        let messages =
            messages.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
        self.say(FromCore::Messages(wire::Messages {
            transport,
            first,
            messages,
            ..wire::Messages::default()
        }))
        .await;
    }

    pub(crate) async fn sack(&mut self, transport: u64, acked: i64) {
        self.say(FromCore::Sack(wire::SackUpdate { transport, sack: Some(sack(acked)) })).await;
    }

    pub(crate) async fn taken(&mut self, transport: u64, batch: u64) {
        self.say(FromCore::Taken(wire::Taken { transport, batch })).await;
    }

    /// Closes with a kill.
    pub(crate) async fn kill(&mut self, transport: u64, reason: wire::KillReason) {
        let cause = Some(wire::close::Cause::Kill(reason.into()));
        self.say(FromCore::Close(wire::Close { transport, sack: None, status: None, cause })).await;
    }

    /// Closes gently.
    pub(crate) async fn close(&mut self, transport: u64, acked: i64) {
        let (sack, status) = (Some(sack(acked)), Some(sack(-1)));
        self.say(FromCore::Close(wire::Close { transport, sack, status, cause: None })).await;
    }
}
