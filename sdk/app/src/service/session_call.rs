//! The side of one call at the shared state: its events in, its commands out, its wake-up. Used by `call`.

use std::sync::Arc;

use minerva_proto::StreamNumber;
use minerva_proto::app::{Command, Held, ServeResponse};
use tokio::sync::Notify;

use super::shared::Shared;
use crate::session::{CallId, ContractError, unknown};

/// The session's side of one call. A drop ends the call in the session.
#[derive(Debug)]
pub(super) struct SessionCall {
    shared: Arc<Shared>,
    id: CallId,
    wake: Arc<Notify>,
}

impl SessionCall {
    /// Begins a call. Also returns the streams to list in the registration, and the progress on them.
    pub(super) fn begin(shared: &Arc<Shared>) -> (Self, Vec<StreamNumber>, Vec<Held>) {
        let (wake, mut state) = (Arc::new(Notify::new()), shared.lock());
        let (id, numbers) = state.session.begin();
        let held = state.session.held(&numbers);
        state.calls.insert(id, Arc::clone(&wake));
        drop(state);
        (Self { shared: Arc::clone(shared), id, wake }, numbers, held)
    }

    /// Waits for a wake-up: commands are ready, or the phase has changed.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn is_registered(&self) -> bool {
        self.shared.lock().session.is_registered(self.id)
    }

    /// Whether the call must be ended, so that a new one settles the owner of a partition.
    pub(super) fn is_unsettled(&self) -> bool {
        self.shared.lock().session.unsettled_calls().contains(&self.id)
    }

    pub(super) fn on_response(&self, response: ServeResponse) -> Result<(), ContractError> {
        let outcome = self.take(response);
        self.shared.wake_calls();
        outcome
    }

    pub(super) fn has_commands(&self) -> bool {
        self.shared.lock().session.has_commands(self.id)
    }

    /// Whether this core lacks Finish or Sync, so that [`Self::probes`] are required.
    pub(super) fn needs_probes(&self) -> bool {
        self.shared.lock().session.needs_probes(self.id)
    }

    /// Commands that find out whether finished streams may end and changes are durable; see [`Session::probes`].
    pub(super) fn probes(&self) -> Vec<Command> {
        self.shared.lock().session.probes(self.id)
    }

    pub(super) fn take_commands(&self, budget: usize) -> Vec<Command> {
        self.shared.lock().session.take_commands(self.id, budget)
    }

    fn take(&self, response: ServeResponse) -> Result<(), ContractError> {
        let mut state = self.shared.lock();
        let mut signals = Vec::new();
        let mut outcome = Ok(());
        for event in response.events {
            state.unknown_events += unknown::in_event(&event);
            let Some(event) = event.event else { continue };
            outcome = state.session.on_event(self.id, event, &mut signals);
            if outcome.is_err() {
                break;
            }
        }
        for signal in signals {
            self.shared.on_signal(&mut state, signal);
        }
        state.wake_unsettled_calls();
        outcome
    }
}

impl Drop for SessionCall {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.session.end(self.id);
        state.calls.remove(&self.id);
        state.wake_unsettled_calls();
    }
}
