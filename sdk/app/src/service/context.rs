//! State shared by the tasks of one service: the options, the session and the outcome of the start.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::channel::BoxChannel;
use super::core_locks::CoreLocks;
use super::shared::Shared;
use crate::error::StartError;
use crate::tls::Certificates;
use crate::token::Authorization;

/// The options and shared state of a running service.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) core_locks: Arc<CoreLocks>,
    /// Carries every call if set, instead of a connection per address.
    pub(super) channel: Option<BoxChannel>,
    pub(super) service: String,
    pub(super) instance_id: String,
    /// Token of each call.
    pub(super) authorization: Authorization,
    /// Certificates of each connection.
    pub(super) certificates: Certificates,
    /// Bytes of unacknowledged messages per stream.
    pub(super) window: u32,
    /// Completed once, by the first registration or refusal.
    started: Mutex<Option<StartSender>>,
}

/// Reports the outcome of the start.
pub(super) type StartSender = oneshot::Sender<Result<(), StartError>>;

impl Context {
    pub(super) fn new(
        shared: Arc<Shared>,
        (service, instance_id): (String, String),
        window: u32,
        (channel, access): (Option<BoxChannel>, (Authorization, Certificates)),
        started: StartSender,
    ) -> Arc<Self> {
        let (authorization, certificates) = access;
        let (core_locks, started) = (Arc::default(), Mutex::new(Some(started)));
        Arc::new(Self {
            shared,
            core_locks,
            channel,
            service,
            instance_id,
            authorization,
            certificates,
            window,
            started,
        })
    }

    /// Reports the outcome of the start and returns whether this was the first outcome.
    pub(super) fn on_started(&self, outcome: Result<(), StartError>) -> bool {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(started) = started.take() else { return false };
        // The receiver is gone if the start was cancelled.
        let _ = started.send(outcome);
        true
    }
}
