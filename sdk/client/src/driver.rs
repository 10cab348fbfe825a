//! Executes the outputs of the stream machine: opens and closes transports, and fires the machine's timeouts. One
//! task per stream, with a child task per transport.

use std::sync::Arc;

use minerva_proto::TransportNumber;
use minerva_proto::hello::MAX_CRED;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::clock::{CLOSE_TIMEOUT, MAX_TOKEN_DELAY, RENEWAL_TIMEOUT, TOKEN_DELAY};
use crate::config::TransportKind;
use crate::http::{self, HttpTarget};
use crate::problem::Problem;
use crate::renewal::TokenSource;
use crate::stream::{End, Output, Role};
use crate::stream_state::{Closing, Link, State, StreamState};
use crate::transport::TransportError;
use crate::wire::WireVersion;
use crate::{tcp, websocket};

pub(crate) async fn run(shared: Arc<StreamState>, targets: Vec<HttpTarget>) {
    let mut transports = JoinSet::new();
    first_credentials(&shared).await;
    shared.with(|machine, now| machine.on_timeout(now));
    loop {
        let (timeout, ended) = {
            let mut state = shared.lock();
            execute_outputs(&shared, &targets, &mut state, &mut transports);
            (state.machine.next_timeout(shared.clock.now()), state.machine.ended().is_some())
        };
        if ended {
            break;
        }
        tokio::select! {
            () = shared.clock.sleep_until(timeout) => shared.with(|machine, now| machine.on_timeout(now)),
            () = shared.work.notified() => {}
            Some(_) = transports.join_next() => {}
        }
    }
    // Transports close with their handshakes; after the time limit they are dropped with the set.
    let all = async { while transports.join_next().await.is_some() {} };
    let _ = timeout(CLOSE_TIMEOUT, all).await;
}

fn execute_outputs(
    shared: &Arc<StreamState>,
    targets: &[HttpTarget],
    state: &mut State,
    transports: &mut JoinSet<()>,
) {
    while let Some(output) = state.machine.next_output() {
        match output {
            Output::Open { number, kind, role, server, version } => {
                // Always present: the machine counts the same addresses.
                let Some(target) = targets.get(server) else { continue };
                let link = Arc::new(Link::new(number, kind, role, version));
                state.links.insert(number, link.clone());
                transports.spawn(run_transport(shared.clone(), target.clone(), link, kind, role));
            }
            Output::Close { number } => close(state, number, Closing::Gently),
            Output::Drop { number } => close(state, number, Closing::Drop),
            Output::Renew => {
                transports.spawn(renew(Arc::clone(shared)));
            }
        }
    }
}

/// Gets the credentials of the first hello from the token source, and repeats a failed call with a delay that doubles.
async fn first_credentials(shared: &StreamState) {
    let mut delay = TOKEN_DELAY;
    loop {
        let Some(source) = shared.lock().machine.wanted_source() else { return };
        if let Some(credentials) = call(&source).await {
            return shared.with(|machine, now| machine.renew(now, Some(credentials)));
        }
        let stream = shared.lock().machine.id().short_hash();
        warn!(%stream, ?delay, "the token source gave no credentials; the stream waits and calls the source again");
        sleep(delay).await;
        delay = MAX_TOKEN_DELAY.min(delay * 2);
    }
}

/// Answers a request of the server for new credentials.
async fn renew(shared: Arc<StreamState>) {
    let source = shared.lock().machine.token_source();
    let credentials = match source {
        Some(source) => call(&source).await,
        None => None,
    };
    shared.with(|machine, now| machine.renew(now, credentials));
}

/// Credentials of the source, unless they are too late or invalid.
async fn call(source: &TokenSource) -> Option<String> {
    let credentials = timeout(RENEWAL_TIMEOUT, source.get()).await.ok().flatten();
    credentials.filter(|text| !text.is_empty() && text.len() <= MAX_CRED)
}

fn close(state: &mut State, number: TransportNumber, how: Closing) {
    if let Some(link) = state.links.remove(&number) {
        link.close(how);
    }
}

/// Runs one transport from connecting to its end.
async fn run_transport(
    shared: Arc<StreamState>,
    target: HttpTarget,
    link: Arc<Link>,
    kind: TransportKind,
    role: Role,
) {
    let stream = shared.lock().machine.id().short_hash();
    let outcome = match kind {
        TransportKind::Tcp => tcp::run_transport(&shared, &target.endpoint, &link).await,
        TransportKind::WebSocket => websocket::run_transport(&shared, &target, &link).await,
        TransportKind::HttpStream | TransportKind::LongPoll => {
            http::run_transport(&shared, &target, &link).await
        }
    };
    if let Err(error) = &outcome {
        report_failure(&shared, &link, role, error);
    }
    let end = if outcome.is_ok() { End::Finished } else { End::Failed };
    match outcome {
        Ok(()) => debug!(%stream, transport = link.number.0, %kind, ?role, "transport ended"),
        Err(error) => {
            debug!(%stream, transport = link.number.0, %kind, ?role, %error, "transport failed")
        }
    }
    shared.lock().links.remove(&link.number);
    link.ended(&shared, end);
}

/// Passes the failure of a transport to the machine; the end follows.
fn report_failure(shared: &StreamState, link: &Link, role: Role, error: &TransportError) {
    let (problem, wait) = (Problem::of(error), error.retry_after());
    let refusal = error.refusal().filter(|_| link.version == WireVersion::V3);
    shared.with(|machine, now| {
        if error.is_only_version_2() && machine.fall_back(now, link.number) {
            return;
        }
        if let Some(refusal) = refusal {
            return machine.on_refusal(now, link.number, &refusal);
        }
        machine.on_problem(link.number, problem);
        wait.into_iter().for_each(|wait| machine.on_refused(now, role, wait));
    });
}
