//! The driver of TCP transports: `<int32/>` and then frames behind their length. Also answers the
//! request for the policy file. Called by `listener.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::session::Session;
use crate::shared::{Phase, Shared};
use crate::transport::{Caller, Input, Kind};

/// Bytes read at once; on the worker's stack, not in the task.
const READ: usize = 64 * 1024;

/// Time that a client has to close after the policy file.
const POLICY_TIME: Duration = Duration::from_secs(10);

/// Serves one transport; `rest` came behind the magic.
pub(crate) async fn serve(stream: TcpStream, rest: Bytes, shared: Arc<Shared>, caller: Caller) {
    let mut session = Session::new(&shared, Kind::Tcp, caller);
    if !rest.is_empty() {
        session.received(rest, false);
    }
    // Bytes of the current chunk that are written.
    let mut written = 0;
    while session.ending().is_none() && !session.is_over() {
        tokio::select! {
            ready = stream.readable(), if session.wants_input() => match ready {
                Ok(()) => read(&stream, &mut session),
                Err(_) => session.input(Input::Gone),
            },
            ready = stream.writable(), if session.chunk().is_some() => match ready {
                Ok(()) => write(&stream, &mut session, &mut written),
                Err(_) => session.input(Input::Gone),
            },
            () = session.wait() => {}
        }
    }
}

fn read(stream: &TcpStream, session: &mut Session) {
    let mut buffer = [0; READ];
    match stream.try_read(&mut buffer) {
        Ok(0) => session.input(Input::Gone),
        Ok(count) => session.received(Bytes::copy_from_slice(&buffer[..count]), false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => session.input(Input::Gone),
    }
}

fn write(stream: &TcpStream, session: &mut Session, written: &mut usize) {
    let Some(chunk) = session.chunk() else { return };
    match stream.try_write(&chunk[*written..]) {
        Ok(count) => {
            *written += count;
            if *written == chunk.len() {
                *written = 0;
                session.written();
            }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => session.input(Input::Gone),
    }
}

/// Answers with the policy file and leaves the close to the client, for a while.
pub(crate) async fn serve_policy(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    let answer = async {
        stream.write_all(&shared.policy).await?;
        while stream.readable().await.is_ok() {
            let mut buffer = [0; 512];
            match stream.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    tokio::select! {
        _ = tokio::time::timeout(POLICY_TIME, answer) => {}
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
    }
}
