//! Does what the stream machine wants: opens and closes transports, and calls it when its time comes.
//! One task per stream; each transport is a task of its own below it.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::debug;

use crate::clock::CLOSE_TIMEOUT;
use crate::config::TransportKind;
use crate::http::{self, HttpTarget};
use crate::shared::{Closing, Link, Shared, State};
use crate::stream::{End, Output, Role};
use crate::{tcp, websocket};

pub(crate) async fn run(shared: Arc<Shared>, targets: Vec<HttpTarget>) {
    let mut transports = JoinSet::new();
    shared.with(|machine, now| machine.on_timeout(now));
    loop {
        let (timeout, over) = {
            let mut state = shared.look();
            carry_out(&shared, &targets, &mut state, &mut transports);
            (state.machine.next_timeout(shared.clock.now()), state.machine.ended().is_some())
        };
        if over {
            break;
        }
        tokio::select! {
            () = shared.clock.sleep_until(timeout) => shared.with(|machine, now| machine.on_timeout(now)),
            () = shared.work.notified() => {}
            Some(_) = transports.join_next() => {}
        }
    }
    // Transports close as the protocol wants; what does not end in time is dropped with the set.
    let all = async { while transports.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, all).await;
}

fn carry_out(
    shared: &Arc<Shared>,
    targets: &[HttpTarget],
    state: &mut State,
    transports: &mut JoinSet<()>,
) {
    while let Some(output) = state.machine.next_output() {
        match output {
            Output::Open { number, kind, role, server } => {
                // There are as many as the machine counts.
                let Some(target) = targets.get(server) else { continue };
                let link = Arc::new(Link::new(number, kind, role));
                state.links.insert(number, link.clone());
                transports.spawn(carry(shared.clone(), target.clone(), link, kind, role));
            }
            Output::Close { number } => close(state, number, Closing::Gently),
            Output::Drop { number } => close(state, number, Closing::Drop),
        }
    }
}

fn close(state: &mut State, number: u64, how: Closing) {
    if let Some(link) = state.links.remove(&number) {
        link.close(how);
    }
}

/// The life of one transport.
async fn carry(
    shared: Arc<Shared>,
    target: HttpTarget,
    link: Arc<Link>,
    kind: TransportKind,
    role: Role,
) {
    let stream = shared.look().machine.id().short_hash();
    let outcome = match kind {
        TransportKind::Tcp => {
            tcp::carry(&shared, &target.address, target.tls.as_ref(), &link).await
        }
        TransportKind::WebSocket => websocket::carry(&shared, &target, &link).await,
        TransportKind::HttpStream | TransportKind::LongPoll => {
            http::carry(&shared, &target, &link).await
        }
    };
    let end = if outcome.is_ok() { End::Finished } else { End::Failed };
    match outcome {
        Ok(()) => debug!(%stream, transport = link.number, %kind, ?role, "transport ended"),
        Err(error) => {
            debug!(%stream, transport = link.number, %kind, ?role, %error, "transport failed")
        }
    }
    shared.look().links.remove(&link.number);
    link.ended(&shared, end);
}
