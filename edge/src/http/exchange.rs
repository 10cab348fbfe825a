//! Driver of HTTP transports: the request body carries the client's frames, the response body the server's. A
//! long-poll response is buffered and sent complete; a streamed response starts with the first frame. No response
//! starts before its first frame. Called by `http.rs`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use minerva_proto::TransportKind;
use minerva_proto::link::Caller;
use tokio::sync::{mpsc, oneshot};

use super::body::{AbortedError, Body, Piece};
use super::connection::Connection;
use super::reply;
use super::upload::Upload;
use crate::admission::AddressPermit;
use crate::session::Session;
use crate::shared::Shared;
use crate::transport::{Ending, Input, TransportProtocol, WireVersions};

/// Serves one transport; returns when the response starts.
pub(super) async fn serve(
    upload: Upload,
    versions: WireVersions,
    (caller, address): (Caller, Arc<AddressPermit>),
    connection: &Arc<Connection>,
) -> Response<Body> {
    let (head, response) = oneshot::channel();
    let protocol = (TransportProtocol::Http, versions);
    let mut exchange = Exchange {
        session: Session::new(&connection.shared, protocol, caller, address),
        upload: Some(upload),
        reply: Reply::Unsent { head, gathered: BytesMut::new() },
    };
    let permit = Arc::clone(&connection.permit);
    // A block, since an `async fn` stores its arguments twice.
    tokio::spawn(async move {
        exchange.run().await;
        let Exchange { session, upload, reply } = exchange;
        drop(session);
        if let Some(upload) = upload
            && matches!(reply, Reply::Sent)
        {
            upload.discard().await;
        }
        drop(permit);
    });
    let unreadable = || reply::text(StatusCode::BAD_REQUEST, "the request cannot be read\n");
    response.await.unwrap_or_else(|_| unreadable())
}

/// The versions that the hello may request: version 3 needs a content type that a form of a foreign page cannot send.
pub(super) fn versions(headers: &HeaderMap, shared: &Shared) -> WireVersions {
    if !shared.serves_version_3() {
        WireVersions::Two
    } else if reply::is_octet_stream(headers) {
        WireVersions::TwoOrThree
    } else {
        WireVersions::TwoByContentType
    }
}

struct Exchange {
    session: Session,
    /// `None` after the end of the request body.
    upload: Option<Upload>,
    reply: Reply,
}

/// Progress of the response.
enum Reply {
    /// Nothing is sent; chunks are buffered.
    Unsent { head: oneshot::Sender<Response<Body>>, gathered: BytesMut },
    /// The head is sent; chunks follow.
    Begun { chunks: mpsc::Sender<Piece> },
    /// Complete.
    Sent,
}

/// Socket events.
enum Event {
    Read(Result<(Bytes, bool), hyper::Error>),
    /// hyper accepts another chunk.
    Room,
    /// The client has disconnected.
    Lost,
}

impl Exchange {
    /// Runs until the transport has ended and its output is passed to hyper.
    async fn run(&mut self) {
        loop {
            self.gather();
            if let Some(ending) = self.session.ending().cloned()
                && (self.session.chunk().is_none() || ending != Ending::Complete)
            {
                self.end(ending);
                break;
            }
            if self.session.ending().is_none() && self.session.is_over() {
                break;
            }
            self.step().await;
        }
    }

    /// Waits for one event and handles it.
    async fn step(&mut self) {
        let Self { session, upload, reply } = self;
        let reads = session.wants_input() && upload.is_some();
        let has_chunk = session.chunk().is_some();
        let event = tokio::select! {
            // Input first: frames sent before a disconnect count.
            biased;
            read = read(upload), if reads => Event::Read(read),
            lost = reply.ready(has_chunk) => if lost { Event::Lost } else { Event::Room },
            () = session.wait() => return,
        };
        match event {
            Event::Read(read) => self.on_read(read),
            Event::Room => self.send_chunk(),
            Event::Lost => self.session.input(Input::Gone),
        }
    }

    fn send_chunk(&mut self) {
        let (Reply::Begun { chunks }, Some(chunk)) = (&self.reply, self.session.chunk()) else {
            return;
        };
        if chunks.try_send(Ok(chunk.clone())).is_ok() {
            self.session.written();
        }
    }

    fn on_read(&mut self, read: Result<(Bytes, bool), hyper::Error>) {
        match read {
            Ok((bytes, last)) => {
                if last {
                    self.upload = None;
                }
                self.session.received(bytes, last);
            }
            Err(_) => self.session.input(Input::Gone),
        }
    }

    /// Buffers the chunks of a long-poll, or starts a streamed response.
    fn gather(&mut self) {
        let streams = self.session.transport_kind() == Some(TransportKind::HttpStream);
        if streams && self.session.ending().is_none() && self.session.chunk().is_some() {
            self.begin();
        }
        if let Reply::Unsent { gathered, .. } = &mut self.reply {
            while let Some(chunk) = self.session.chunk() {
                gathered.extend_from_slice(chunk);
                self.session.written();
            }
        }
    }

    fn begin(&mut self) {
        if !matches!(self.reply, Reply::Unsent { .. }) {
            return;
        }
        let (chunks, body) = mpsc::channel(1);
        let reply = std::mem::replace(&mut self.reply, Reply::Begun { chunks });
        if let Reply::Unsent { head, .. } = reply {
            // A failed send means that the client has disconnected, which the next step detects.
            let is_version_3 = self.session.is_version_3();
            let _ = head.send(reply::transport(Body::Chunks(body), is_version_3));
        }
    }

    fn end(&mut self, ending: Ending) {
        match std::mem::replace(&mut self.reply, Reply::Sent) {
            Reply::Unsent { head, gathered } => {
                let _ = head.send(match ending {
                    Ending::Complete => {
                        let is_version_3 = self.session.is_version_3();
                        reply::transport(Body::whole(gathered.freeze()), is_version_3)
                    }
                    Ending::Refused(refusal) => reply::problem(&refusal),
                    Ending::ContentType => {
                        let text = "version 3 needs the content type application/octet-stream\n";
                        reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
                    }
                    Ending::Unavailable { reason, retry_after } => {
                        reply::unavailable(&reason, retry_after)
                    }
                    Ending::Limited { reason, retry_after } => reply::limited(reason, retry_after),
                    Ending::Failed { reason } => {
                        let text = format!("{reason}\n");
                        reply::text(StatusCode::INTERNAL_SERVER_ERROR, text)
                    }
                    Ending::NoHello => {
                        let text = "a transport begins with a hello frame and a newline\n";
                        reply::text(StatusCode::BAD_REQUEST, text)
                    }
                    Ending::Closed => reply::unavailable(
                        "the transport was closed before its first frame",
                        std::time::Duration::ZERO,
                    ),
                });
            }
            Reply::Begun { chunks } if ending != Ending::Complete => {
                // Full if the client does not read. Dropping the sender then looks like a regular end, after which
                // the client opens another transport as well.
                let _ = chunks.try_send(Err(AbortedError));
            }
            Reply::Begun { .. } | Reply::Sent => {}
        }
    }
}

impl Reply {
    /// Waits until the response accepts a chunk; returns `true` after a disconnect.
    async fn ready(&mut self, has_chunk: bool) -> bool {
        match self {
            Self::Begun { chunks } if has_chunk => chunks.reserve().await.is_err(),
            Self::Begun { chunks } => {
                chunks.closed().await;
                true
            }
            Self::Unsent { head, .. } => {
                head.closed().await;
                true
            }
            Self::Sent => std::future::pending().await,
        }
    }
}

async fn read(upload: &mut Option<Upload>) -> Result<(Bytes, bool), hyper::Error> {
    match upload {
        Some(upload) => upload.next().await,
        None => std::future::pending().await,
    }
}
