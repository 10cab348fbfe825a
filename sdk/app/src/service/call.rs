//! One Serve call: registers, then moves what the session says into it and what comes out of it into the
//! session. Knows nothing of what the events mean, nor of other calls.

use std::time::Duration;

use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{Command, Register, ServeRequest, ServeResponse, command, event};
use minerva_proto::tasks::Company;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{Code, Status, Streaming};

use super::claims::Claim;
use super::driver::Context;
use super::shared::{SessionCall, Shared};
use crate::session::ContractError;

/// Time for the core to answer a registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the core to end the call that this side has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of commands in one request, about. With a string of the longest kind on top it stays below the 4 MiB
/// that gRPC servers accept by default.
const REQUEST_BYTES: usize = 256 * 1024;
/// Largest response accepted: far above what a core puts together.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// Why a call is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no connection: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("an address that cannot be called: {0}")]
    Endpoint(String),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Box<Status>),
    #[error("the core ended the call")]
    Closed,
    #[error("the core did not answer the registration")]
    Timeout,
    #[error("the core broke the contract: {0}")]
    ContractError(#[from] ContractError),
    #[error("another address leads to the same core and is being called")]
    Taken,
    #[error("another address leads to the same core and is called now")]
    Superseded,
}

/// A call that is registered.
pub(super) struct Open {
    live: SessionCall,
    claim: Claim,
    shared: std::sync::Arc<Shared>,
    requests: mpsc::Sender<ServeRequest>,
    responses: Streaming<ServeResponse>,
    company: Company,
}

impl CallError {
    /// Trying again does not help, as long as neither side changes.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if matches!(
            status.code(),
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated
        ))
    }

    /// Another call with the same instance id took over.
    pub(super) fn is_aborted(&self) -> bool {
        matches!(self, Self::Status(status) if status.code() == Code::Aborted)
    }
}

/// Makes a call over `channel` and registers. `core` becomes the name of the core, if that tells one.
pub(super) async fn open<C>(
    context: &Context,
    channel: C,
    claim: Claim,
    core: &mut String,
) -> Result<Open, CallError>
where
    C: GrpcService<Body, ResponseBody = Body>,
{
    let mut client = AppServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
    // One request waits here while another is written: what is ready meanwhile goes into the next one.
    let (requests, receiver) = mpsc::channel(1);
    let (live, held_streams) = context.shared.begin();
    requests.try_send(registration(context, held_streams)).map_err(|_| CallError::Closed)?;
    let response = timeout(REGISTER_TIMEOUT, client.serve(ReceiverStream::new(receiver)));
    let response = response.await.map_err(|_| CallError::Timeout)?.map_err(Box::new)?;
    let responses = response.into_inner();
    let shared = std::sync::Arc::clone(&context.shared);
    let company = Company::default();
    let mut opened = Open { live, claim, shared, requests, responses, company };
    timeout(REGISTER_TIMEOUT, opened.await_registered(core))
        .await
        .map_err(|_| CallError::Timeout)??;
    Ok(opened)
}

fn registration(context: &Context, held_streams: Vec<u64>) -> ServeRequest {
    let register = Register {
        service: context.service.clone(),
        instance_id: context.instance_id.clone(),
        stream_window_bytes: context.window,
        held_streams,
    };
    ServeRequest { commands: vec![Command { command: Some(command::Command::Register(register)) }] }
}

impl Open {
    async fn await_registered(&mut self, core: &mut String) -> Result<(), CallError> {
        while !self.live.is_registered() {
            let response = self.next_response().await?;
            if let Some(name) = core_name(&response) {
                name.clone_into(core);
                self.claim.rename(name);
            }
            self.live.on_response(response)?;
        }
        Ok(())
    }

    /// Both ways, until the call breaks or the service is stopped and drained.
    pub(super) async fn converse(mut self) -> Result<(), CallError> {
        loop {
            if self.shared.is_drained() {
                self.close().await;
                return Ok(());
            }
            tokio::select! {
                // In this order: no response makes a request wait that waits for company.
                biased;
                permit = self.company.room(&self.requests), if self.live.has_commands() => {
                    let permit = permit.map_err(|_| CallError::Closed)?;
                    let commands = self.live.take_commands(REQUEST_BYTES);
                    if !commands.is_empty() {
                        permit.send(ServeRequest { commands });
                    }
                }
                response = self.responses.message() => {
                    let response = response.map_err(Box::new)?.ok_or(CallError::Closed)?;
                    self.live.on_response(response)?;
                }
                () = self.live.worked() => {}
                () = self.claim.superseded() => return Err(CallError::Superseded),
            }
        }
    }

    async fn close(self) {
        let Self { requests, mut responses, .. } = self;
        drop(requests);
        let end = async { while let Ok(Some(_)) = responses.message().await {} };
        // Whether the core hurries makes no difference any more.
        let _ = timeout(CLOSE_TIMEOUT, end).await;
    }

    async fn next_response(&mut self) -> Result<ServeResponse, CallError> {
        self.responses.message().await.map_err(Box::new)?.ok_or(CallError::Closed)
    }
}

/// The name that the core tells in Registered, if it tells one.
fn core_name(response: &ServeResponse) -> Option<&str> {
    response.events.iter().find_map(|event| match &event.event {
        Some(event::Event::Registered(registered)) if !registered.core_id.is_empty() => {
            Some(registered.core_id.as_str())
        }
        _ => None,
    })
}
