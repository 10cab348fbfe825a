//! The core inside a test: the state behind a lock, waits for changes, and the gRPC service reached by
//! the app's calls without a network. The rules are in `state`.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, stream};
use minerva_proto::app::app_service_server::{AppService, AppServiceServer};
use minerva_proto::app::{Command, Event, Register, ServeRequest, ServeResponse, command, event};
use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::state::{Limits, State};
use super::validate::CommandError;

/// Largest accepted request in bytes, as in the contract.
const MAX_REQUEST: usize = 8 << 20;

/// The core as seen by one start of the app. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    shared: Arc<Shared>,
    /// Counts the starts of the app. Calls of earlier starts are refused.
    incarnation: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes all waiters after a change of the state.
    changed: Notify,
}

impl Core {
    pub(super) fn new(limits: Limits) -> Self {
        let (state, changed) = (Mutex::new(State::new(limits)), Notify::new());
        Self { shared: Arc::new(Shared { state, changed }), incarnation: 0 }
    }

    /// Begins the next start of the app: calls and commands of earlier starts are ignored.
    pub(super) fn next_incarnation(&mut self) {
        self.incarnation = self.change(|state| {
            state.close_call();
            state.incarnation += 1;
            state.incarnation
        });
    }

    pub(super) fn server(&self) -> AppServiceServer<Self> {
        AppServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST)
    }

    /// Reads the state.
    ///
    /// # Panics
    /// If the app broke the contract.
    pub(super) fn inspect<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let state = self.lock();
        let contract_error = state.contract_error().map(str::to_owned);
        let seen = look(&state);
        drop(state);
        assert_no_error(contract_error);
        seen
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.shared.changed.notify_waiters();
        outcome
    }

    /// Repeats `attempt` after each change of the state until there is a result.
    async fn until<T>(&self, mut attempt: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut change = pin!(self.shared.changed.notified());
        loop {
            // Enabled before the attempt, so no wake-up is lost in between.
            change.as_mut().enable();
            let outcome = attempt(&mut self.lock());
            if let Some(outcome) = outcome {
                self.shared.changed.notify_waiters();
                return outcome;
            }
            change.as_mut().await;
            change.set(self.shared.changed.notified());
        }
    }

    /// Like [`Self::until`], with a deadline, for use by the test.
    ///
    /// # Panics
    /// If the app broke the contract, or `limit` expires.
    pub(super) async fn wait_for<T>(
        &self,
        description: &str,
        limit: Duration,
        mut attempt: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        let outcome = self.until(|state| match state.contract_error() {
            Some(contract_error) => Some(Err(contract_error.to_owned())),
            None => attempt(state).map(Ok),
        });
        match timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(contract_error)) => panic!("the app broke the contract: {contract_error}"),
            Err(_) => panic!("{description}: not within {limit:?}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, register: &Register) -> Result<u64, Status> {
        self.change(|state| {
            if state.incarnation != self.incarnation {
                return Err(Status::aborted("the app was started again"));
            }
            if let Some(contract_error) = state.contract_error() {
                return Err(Status::invalid_argument(contract_error));
            }
            state.register(register).map_err(refusal)
        })
    }

    /// Applies the commands of a call until the end.
    async fn receive_commands(
        self,
        call: u64,
        first: Vec<Command>,
        mut requests: Streaming<ServeRequest>,
    ) {
        let mut commands = first;
        loop {
            if !self.change(|state| take(state, call, commands)) {
                return;
            }
            let Ok(Some(request)) = requests.message().await else { break };
            commands = request.commands;
        }
        self.change(|state| state.end(call));
    }

    /// Waits for the next events of a call, or for the final status.
    async fn next_response(&self, call: u64) -> Result<ServeResponse, Status> {
        let events = self.until(|state| match state.take_events(call) {
            Some(events) => (!events.is_empty()).then_some(Ok(events)),
            None => Some(Err(lost(state))),
        });
        Ok(ServeResponse { events: events.await?.into_iter().map(event).collect() })
    }
}

#[tonic::async_trait]
impl AppService for Core {
    type ServeStream = Pin<Box<dyn Stream<Item = Result<ServeResponse, Status>> + Send>>;

    async fn serve(
        &self,
        request: Request<Streaming<ServeRequest>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        let mut requests = request.into_inner();
        let mut commands = requests.message().await?.unwrap_or_default().commands.into_iter();
        let first = commands.next().and_then(|command| command.command);
        let Some(command::Command::Register(register)) = first else {
            return Err(refusal(CommandError::new("register", "must be the first command")));
        };
        let call = self.register(&register)?;
        tokio::spawn(self.clone().receive_commands(call, commands.collect(), requests));
        let responses = stream::unfold(Some(self.clone()), move |core| async move {
            let core = core?;
            let response = core.next_response(call).await;
            let goes_on = response.is_ok();
            Some((response, goes_on.then_some(core)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// Applies commands of a call. Returns `false` if the call has ended.
fn take(state: &mut State, call: u64, commands: Vec<Command>) -> bool {
    let mut commands = commands.into_iter();
    state.is_call(call)
        && commands.all(|command| {
            let kept = state.on_command(command.command).is_ok();
            if !kept {
                state.close_call();
            }
            kept
        })
}

/// The status of a call that has ended.
fn lost(state: &State) -> Status {
    match state.contract_error() {
        Some(contract_error) => Status::invalid_argument(contract_error),
        None if state.has_call() => Status::aborted("another call took over"),
        None => Status::unavailable("the call was lost"),
    }
}

fn event(event: event::Event) -> Event {
    Event { event: Some(event) }
}

fn refusal(violation: CommandError) -> Status {
    Status::invalid_argument(violation.to_string())
}

fn assert_no_error(contract_error: Option<String>) {
    if let Some(contract_error) = contract_error {
        panic!("the app broke the contract: {contract_error}");
    }
}
