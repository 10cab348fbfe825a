//! The driver of HTTP transports: a request's body is what the client says, the response is what it is
//! told. A long-poll's response is gathered to its end and sent whole; a streamed one begins with
//! the first frame. Nothing is sent before there is a frame. Called by `http.rs`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};

use super::body::{AbortedError, Body, Piece};
use super::connection::Connection;
use super::reply;
use super::upload::Upload;
use crate::session::Session;
use crate::transport::{Caller, Carrier, Ending, Input, Kind};

/// Serves one transport; returns when there is a response to begin.
pub(super) async fn serve(
    request: Request<Incoming>,
    caller: Caller,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let (head, response) = oneshot::channel();
    let mut exchange = Exchange {
        session: Session::new(&connection.shared, Kind::Http, caller),
        upload: Some(Upload::new(request.into_body())),
        reply: Reply::Unsent { head, gathered: BytesMut::new() },
    };
    let permit = Arc::clone(&connection.permit);
    // A block: an `async fn` has room twice for what it takes by value.
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

struct Exchange {
    session: Session,
    /// `None`: read to the end.
    upload: Option<Upload>,
    reply: Reply,
}

/// What is sent of the response.
enum Reply {
    /// Nothing; what is written waits for the end.
    Unsent { head: oneshot::Sender<Response<Body>>, gathered: BytesMut },
    /// The head, and what `chunks` took.
    Begun { chunks: mpsc::Sender<Piece> },
    /// All of it.
    Sent,
}

/// What happened first.
enum Event {
    Read(Result<(Bytes, bool), hyper::Error>),
    /// The response takes another chunk.
    Room,
    /// The client is gone.
    Lost,
}

impl Exchange {
    /// Until the transport is over and what it had to say is with hyper.
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

    /// Waits for one thing and reacts.
    async fn step(&mut self) {
        let Self { session, upload, reply } = self;
        let reads = session.wants_input() && upload.is_some();
        let has_chunk = session.chunk().is_some();
        let event = tokio::select! {
            // What a client sent before it went away counts.
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

    /// Takes what is written: into the gathered response, or begins a streamed one.
    fn gather(&mut self) {
        let streams = self.session.carrier() == Some(Carrier::HttpStream);
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
            // If the client is gone, so is the body: the next step finds out.
            let _ = head.send(reply::transport(Body::Chunks(body)));
        }
    }

    fn end(&mut self, ending: Ending) {
        match std::mem::replace(&mut self.reply, Reply::Sent) {
            Reply::Unsent { head, gathered } => {
                let _ = head.send(match ending {
                    Ending::Complete => reply::transport(Body::whole(gathered.freeze())),
                    Ending::Unavailable { reason, retry_after } => {
                        reply::unavailable(&reason, retry_after)
                    }
                    Ending::NoHello => {
                        let what = "a transport begins with a hello frame and a newline\n";
                        reply::text(StatusCode::BAD_REQUEST, what)
                    }
                    Ending::Closed => reply::unavailable(
                        "the transport was broken off",
                        std::time::Duration::ZERO,
                    ),
                });
            }
            Reply::Begun { chunks } if ending != Ending::Complete => {
                // Full: the client does not read; then dropping the sender looks like an end, which
                // the client answers with another transport all the same.
                let _ = chunks.try_send(Err(AbortedError));
            }
            Reply::Begun { .. } | Reply::Sent => {}
        }
    }
}

impl Reply {
    /// Waits until a chunk may be sent, if there is one; `true`: the client is gone.
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
