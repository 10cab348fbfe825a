//! One Serve call: registers the instance, then passes events to the session and commands to the core. Used by the
//! connector. Independent of other calls and of the meaning of the events.

use std::sync::Arc;
use std::time::Duration;

use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{
    self, Command, Held, Register, SendRefusedReason, ServeRequest, ServeResponse, command, event,
};
use minerva_proto::{Features, StreamNumber};
use minerva_runtime::tasks::Coalescer;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::channel::BoxChannel;
use super::context::Context;
use super::core_locks::CoreLock;
use super::session_call::SessionCall;
use super::shared::Shared;
use crate::session::ContractError;

/// Deadline of the answer to a registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Deadline for the core to end a call after this side has ended its half.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two probes of the outboxes of finished streams, at a core of release 0.1.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// Target size of a request in bytes. With one message of maximal length on top, a request stays below the 4 MiB that
/// gRPC servers accept by default.
const REQUEST_BYTES: usize = 256 * 1024;
/// Largest accepted response in bytes, well above the batches of a core.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// The reason for the end of a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no connection: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("invalid address: {0}")]
    Endpoint(String),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Box<Status>),
    #[error("the core ended the call")]
    Closed,
    #[error("the core did not answer the registration in time")]
    Timeout,
    #[error("the core broke the contract: {0}")]
    Contract(#[from] ContractError),
    #[error("a call to the same core over another address is in progress")]
    CoreInUse,
    #[error("superseded by a call to the same core over another address")]
    Superseded,
}

/// A call on which the core has registered this instance.
pub(super) struct RegisteredCall {
    session: SessionCall,
    lock: CoreLock,
    shared: Arc<Shared>,
    requests: mpsc::Sender<ServeRequest>,
    responses: Streaming<ServeResponse>,
    coalescer: Coalescer,
}

impl CallError {
    /// Whether a retry cannot succeed unless the configuration of a side changes.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if matches!(
            status.code(),
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated
        ))
    }

    /// Whether another call with the same instance id has ended this one.
    pub(super) fn is_aborted(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::Aborted)
    }
}

/// Begins a call over `channel` and registers. Sets `core` to the id of the core if the core sends one.
pub(super) async fn register(
    context: &Context,
    channel: BoxChannel,
    lock: CoreLock,
    core: &mut String,
) -> Result<RegisteredCall, CallError> {
    let client = AppServiceClient::with_interceptor(channel, context.authorization.clone());
    let mut client = client.max_decoding_message_size(MAX_RESPONSE_BYTES);
    // Room for one request: commands that become ready during the write are batched into the next.
    let (requests, receiver) = mpsc::channel(1);
    let (session, held_streams, held) = SessionCall::begin(&context.shared);
    let registration = registration(context, held_streams, held);
    requests.try_send(registration).map_err(|_| CallError::Closed)?;
    let response = timeout(REGISTER_TIMEOUT, client.serve(ReceiverStream::new(receiver)));
    let response = response.await.map_err(|_| CallError::Timeout)?.map_err(Box::new)?;
    let responses = response.into_inner();
    let shared = Arc::clone(&context.shared);
    let coalescer = Coalescer::default();
    let mut call = RegisteredCall { session, lock, shared, requests, responses, coalescer };
    timeout(REGISTER_TIMEOUT, call.wait_registered(core))
        .await
        .map_err(|_| CallError::Timeout)??;
    Ok(call)
}

fn registration(
    context: &Context,
    held_streams: Vec<StreamNumber>,
    held: Vec<Held>,
) -> ServeRequest {
    let register = Register {
        service: context.service.clone(),
        instance_id: context.instance_id.clone(),
        stream_window_bytes: context.window,
        held_streams: held_streams.into_iter().map(|number| number.0).collect(),
        held,
        max_version: app::VERSION,
        features: Features::APP.names(),
    };
    ServeRequest { commands: vec![Command { command: Some(command::Command::Register(register)) }] }
}

impl RegisteredCall {
    async fn wait_registered(&mut self, core: &mut String) -> Result<(), CallError> {
        while !self.session.is_registered() {
            let response = self.next_response().await?;
            if let Some(id) = core_id(&response) {
                id.clone_into(core);
                self.lock.rekey(id);
            }
            self.session.on_response(response)?;
        }
        Ok(())
    }

    /// Exchanges events and commands until the call breaks, or the service is stopped and drained.
    pub(super) async fn run(mut self) -> Result<(), CallError> {
        let (needs_probes, mut probes) = (self.session.needs_probes(), interval(PROBE_INTERVAL));
        loop {
            if self.shared.is_drained() {
                self.close().await;
                return Ok(());
            }
            if self.session.is_unsettled() {
                return Err(ContractError::StaleEpoch.into());
            }
            tokio::select! {
                // Requests first: a steady flow of responses must not delay a coalesced request.
                biased;
                permit = self.coalescer.reserve(&self.requests), if self.session.has_commands() => {
                    let permit = permit.map_err(|_| CallError::Closed)?;
                    let commands = self.session.take_commands(REQUEST_BYTES);
                    if !commands.is_empty() {
                        permit.send(ServeRequest { commands });
                    }
                }
                _ = probes.tick(), if needs_probes => {
                    let commands = self.session.probes();
                    if !commands.is_empty() {
                        // Without room the next tick tries again.
                        let _ = self.requests.try_send(ServeRequest { commands });
                    }
                }
                response = self.responses.message() => {
                    let response = response.map_err(Box::new)?.ok_or(CallError::Closed)?;
                    response.events.iter().filter_map(|event| event.event.as_ref()).for_each(log_invalid);
                    self.session.on_response(response)?;
                }
                () = self.session.woken() => {}
                () = self.lock.superseded() => return Err(CallError::Superseded),
            }
        }
    }

    async fn close(self) {
        let Self { requests, mut responses, .. } = self;
        drop(requests);
        let end = async { while let Ok(Some(_)) = responses.message().await {} };
        // A late end of the call has no consequence.
        let _ = timeout(CLOSE_TIMEOUT, end).await;
    }

    async fn next_response(&mut self) -> Result<ServeResponse, CallError> {
        self.responses.message().await.map_err(Box::new)?.ok_or(CallError::Closed)
    }
}

/// Returns the id of the core in a `Registered` event, if present.
fn core_id(response: &ServeResponse) -> Option<&str> {
    response.events.iter().find_map(|event| match &event.event {
        Some(event::Event::Registered(registered)) if !registered.core_id.is_empty() => {
            Some(registered.core_id.as_str())
        }
        _ => None,
    })
}

/// Logs the refusal of an invalid command, which the checks of this SDK should prevent.
fn log_invalid(event: &event::Event) {
    let (stream, detail) = if let event::Event::CommandRefused(refused) = event {
        (refused.stream, &refused.detail)
    } else if let event::Event::SendRefused(refused) = event
        && matches!(refused.reason(), SendRefusedReason::Invalid | SendRefusedReason::Unsupported)
    {
        (refused.stream, &refused.detail)
    } else {
        return;
    };
    tracing::error!(stream, detail, "the core refused an invalid command");
}
