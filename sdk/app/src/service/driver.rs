//! The task of a service: owns the gRPC call, moves what the session says into it and what comes out of
//! it into the session, and calls again for ever. Knows nothing of what the events mean.

use std::sync::Arc;
use std::time::Duration;

use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::{Command, Register, ServeRequest, ServeResponse, command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use super::backoff::Backoff;
use super::shared::{Phase, Shared};
use crate::error::StartError;
use crate::random;
use crate::session::Violation;

/// Time for the core to answer a registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for what was sent to become durable once the service is stopped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the core to end the call that this side has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of commands in one request, about. With a string of the longest kind on top it stays below the 4 MiB
/// that gRPC servers accept by default.
const REQUEST_BYTES: usize = 256 * 1024;
/// Largest response accepted: far above what a core puts together.
const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// Owns the call.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) endpoint: Endpoint,
    pub(super) service: String,
    pub(super) instance_id: String,
    pub(super) window: u32,
    /// Told once: registered, or never will be.
    pub(super) ready: Option<oneshot::Sender<Result<(), StartError>>>,
}

/// Why a call is over.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no connection: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Box<Status>),
    #[error("the core ended the call")]
    Closed,
    #[error("the core did not answer the registration")]
    Timeout,
    #[error("the core broke the contract: {0}")]
    Violation(#[from] Violation),
}

impl CallError {
    /// Trying again does not help, as long as neither side changes.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if matches!(
            status.code(),
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated
        ))
    }
}

impl Driver {
    /// Runs until the service is stopped.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let deadline = async {
            shared.reached(Phase::Draining).await;
            sleep(DRAIN_TIMEOUT).await;
        };
        tokio::select! {
            () = self.call_again_and_again() => {}
            () = deadline => tracing::warn!("stopped before everything was sent"),
        }
        shared.finish();
    }

    async fn call_again_and_again(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.call().await else { return };
            if self.shared.is_registered() && !error.is_refusal() {
                backoff.reset();
            }
            if self.is_hopeless(&error) {
                return;
            }
            let pause = backoff.next(random::up_to);
            tracing::warn!(%error, ?pause, "no call to the core");
            sleep(pause).await;
        }
    }

    /// The core does not want this instance, and it has never been otherwise; or there is nothing to call
    /// for any more.
    fn is_hopeless(&mut self, error: &CallError) -> bool {
        if error.is_refusal()
            && let Some(ready) = self.ready.take()
        {
            // Nobody waits if the start was given up.
            let _ = ready.send(Err(StartError::Refused { message: error.to_string() }));
            return true;
        }
        self.shared.phase() != Phase::Running && self.shared.is_drained()
    }

    /// One call. Returns without an error if the service was stopped and all is done.
    async fn call(&mut self) -> Result<(), CallError> {
        let channel = self.endpoint.connect().await?;
        let mut client =
            AppServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        // One request waits here while another is written: what is ready meanwhile goes into the next one.
        let (requests, receiver) = mpsc::channel(1);
        let register = self.registration();
        requests.try_send(register).map_err(|_| CallError::Closed)?;
        let response = timeout(REGISTER_TIMEOUT, client.serve(ReceiverStream::new(receiver)));
        let response = response.await.map_err(|_| CallError::Timeout)?.map_err(Box::new)?;
        let mut responses = response.into_inner();
        timeout(REGISTER_TIMEOUT, self.await_registered(&mut responses))
            .await
            .map_err(|_| CallError::Timeout)??;
        self.converse(&requests, &mut responses).await?;
        drop(requests);
        let end = async { while let Ok(Some(_)) = responses.message().await {} };
        // Whether the core hurries makes no difference any more.
        let _ = timeout(CLOSE_TIMEOUT, end).await;
        Ok(())
    }

    fn registration(&self) -> ServeRequest {
        let register = Register {
            service: self.service.clone(),
            instance_id: self.instance_id.clone(),
            stream_window_bytes: self.window,
            held_streams: self.shared.register(),
        };
        ServeRequest {
            commands: vec![Command { command: Some(command::Command::Register(register)) }],
        }
    }

    async fn await_registered(
        &mut self,
        responses: &mut Streaming<ServeResponse>,
    ) -> Result<(), CallError> {
        while !self.shared.is_registered() {
            let response = responses.message().await.map_err(Box::new)?.ok_or(CallError::Closed)?;
            self.shared.on_response(response)?;
        }
        tracing::info!(service = %self.service, "registered");
        if let Some(ready) = self.ready.take() {
            // Nobody waits if the start was given up.
            let _ = ready.send(Ok(()));
        }
        Ok(())
    }

    /// Both ways, until the call breaks or the service is stopped and drained.
    async fn converse(
        &self,
        requests: &mpsc::Sender<ServeRequest>,
        responses: &mut Streaming<ServeResponse>,
    ) -> Result<(), CallError> {
        let shared = &self.shared;
        loop {
            if shared.phase() != Phase::Running && shared.is_drained() {
                return Ok(());
            }
            tokio::select! {
                response = responses.message() => {
                    let response = response.map_err(Box::new)?.ok_or(CallError::Closed)?;
                    shared.on_response(response)?;
                }
                permit = requests.reserve(), if shared.has_commands() => {
                    let permit = permit.map_err(|_| CallError::Closed)?;
                    let commands = shared.take_commands(REQUEST_BYTES);
                    if !commands.is_empty() {
                        permit.send(ServeRequest { commands });
                    }
                }
                () = shared.worked() => {}
            }
        }
    }
}
