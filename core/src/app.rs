//! The server of the application API: the `Serve` calls of app instances.
//!
//! Registers an instance with every partition, validates and routes commands, and streams the outputs of the
//! partitions back. Streams are handled by the partitions. Served by [`crate::Core::serve_api`].

pub(crate) mod decode;
pub(crate) mod encode;
mod instance_registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use minerva_proto::Feature;
use minerva_proto::app::app_service_server::AppService;
use minerva_proto::app::command::Command as Kind;
use minerva_proto::app::{Command, Event, Registered, ServeRequest, ServeResponse, event};
use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use self::decode::{Registration, registration};
use self::instance_registry::InstanceRegistry;
use crate::access::{Access, Caller, Right};
use crate::clock;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outgoing::{Outgoing, OutgoingControl};
use crate::partition::{
    HeldStream, Mail, PartitionTable, SessionEnd, SessionHandle, SessionId, SuspectSlot,
};
use crate::stop::StopToken;
use crate::stream::AppOutput;
use crate::validation::FieldError;

/// Time for the registration of an instance.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// State shared by all calls.
pub(crate) struct AppServer {
    partitions: PartitionTable,
    instances: Arc<InstanceRegistry>,
    limits: Registered,
    access: Access,
    metrics: Metrics,
    stopping: StopToken,
    /// Id of the next session.
    next_session: AtomicU64,
}

impl AppServer {
    pub(crate) fn new(
        partitions: PartitionTable,
        core_id: &str,
        limits: &Limits,
        access: Access,
        metrics: Metrics,
        stopping: StopToken,
    ) -> Self {
        let instances = Arc::new(InstanceRegistry::new(partitions.clone()));
        let limits = encode::registered(limits, core_id);
        let next_session = AtomicU64::new(1);
        Self { partitions, instances, limits, access, metrics, stopping, next_session }
    }
}

#[tonic::async_trait]
impl AppService for AppServer {
    type ServeStream = Outgoing<AppOutput>;

    async fn serve(
        &self,
        request: Request<Streaming<ServeRequest>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        let (control, outgoing) = Outgoing::new();
        let call = ServeCall {
            id: SessionId(self.next_session.fetch_add(1, Ordering::Relaxed)),
            partitions: self.partitions.clone(),
            instances: Arc::clone(&self.instances),
            limits: self.limits.clone(),
            access: self.access.clone(),
            caller: Caller::of(request.extensions()),
            metrics: self.metrics.clone(),
        };
        tokio::spawn(call.run(request.into_inner(), control, self.stopping.clone()));
        Ok(Response::new(outgoing))
    }
}

/// The request half of one call.
struct ServeCall {
    id: SessionId,
    partitions: PartitionTable,
    instances: Arc<InstanceRegistry>,
    limits: Registered,
    access: Access,
    caller: Caller,
    metrics: Metrics,
}

impl ServeCall {
    async fn run(
        self,
        mut incoming: Streaming<ServeRequest>,
        control: OutgoingControl<AppOutput>,
        stopping: StopToken,
    ) {
        let OutgoingControl { greeting, outputs, end } = control;
        let registered = register(&mut incoming).await.and_then(|registered| {
            let service = &registered.0.service;
            self.access.check(&self.caller, Right::Serve, Some(service))?;
            Ok(registered)
        });
        let result = match registered {
            Ok((registration, rest)) => {
                let event = Some(event::Event::Registered(self.limits.clone()));
                let registered = ServeResponse { events: vec![Event { event }] };
                // The instance may have ended the call.
                let _ = greeting.send((registered, registration.features));
                let session = SessionHandle {
                    id: self.id,
                    service: registration.service,
                    instance_id: registration.instance_id,
                    window: registration.window,
                    load: Arc::new(AtomicUsize::new(0)),
                    has_kinds: registration.features.contains(Feature::MessageKinds)
                        && registration.features.contains(Feature::Sessions),
                    has_returned: !registration.held.is_empty(),
                    suspect: SuspectSlot::default(),
                    outputs,
                };
                self.serve(session, registration.held, rest, incoming, stopping).await
            }
            Err(status) => Err(status),
        };
        let _ = end.send(result);
    }

    /// Serves a registered instance until one side ends the call.
    async fn serve(
        &self,
        session: SessionHandle,
        held: Vec<HeldStream>,
        rest: Vec<Command>,
        incoming: Streaming<ServeRequest>,
        mut stopping: StopToken,
    ) -> Result<(), Status> {
        tracing::info!(
            session = session.id.0,
            service = %session.service,
            instance = %session.instance_id,
            "app instance registered"
        );
        self.metrics.instances.inc();
        let replaced = self.instances.register(session.clone(), held);
        let (end, result) = tokio::select! {
            result = self.read(&session, rest, incoming) => match result {
                Ok(()) => (SessionEnd::Left, Ok(())),
                error => (SessionEnd::Died, error),
            },
            () = session.outputs.closed() => (SessionEnd::Died, Ok(())),
            () = on_replaced(replaced) => {
                let error = Status::aborted("another call registered the same instance_id");
                (SessionEnd::Died, Err(error))
            }
            error = self.access.revoked(&self.caller) => (SessionEnd::Died, Err(error.into())),
            () = stopping.stopped() => {
                (SessionEnd::Left, Err(Status::unavailable("the core is stopping")))
            }
        };
        self.instances.unregister(&session, end);
        self.metrics.instances.dec();
        let error = result.as_ref().err().map(Status::message);
        tracing::info!(session = session.id.0, error, "app instance left");
        result
    }

    async fn read(
        &self,
        session: &SessionHandle,
        rest: Vec<Command>,
        mut incoming: Streaming<ServeRequest>,
    ) -> Result<(), Status> {
        self.route_all(session, rest).await?;
        while let Some(request) = incoming.message().await? {
            self.route_all(session, request.commands).await?;
        }
        Ok(())
    }

    /// Routes commands; waits while a mailbox has no room or the instance does not read events.
    ///
    /// The connection is not read meanwhile. A command that is invalid for the named stream is refused, see
    /// [`Mail::InvalidCommand`].
    async fn route_all(
        &self,
        session: &SessionHandle,
        commands: Vec<Command>,
    ) -> Result<(), FieldError> {
        self.metrics.app_commands.inc_by(commands.len() as u64);
        for command in commands {
            if command.command.is_none() {
                self.metrics.count_unknown_from_app(1);
                continue;
            }
            let (stream, mail) = decode::command(self.id, command)?;
            if let Mail::InvalidCommand { command, .. } = &mail {
                log_invalid(session, &command.detail);
            }
            session.outputs.wait_for_room().await;
            match self.partitions.of_number(stream) {
                Some(partition) => self.partitions.send_with_room(partition, mail).await,
                None => {
                    let detail = "stream: not a valid stream number".to_owned();
                    log_invalid(session, &detail);
                    session.outputs.send(AppOutput::CommandRefused { stream, detail });
                }
            }
        }
        Ok(())
    }
}

fn log_invalid(session: &SessionHandle, detail: &str) {
    static FAULTS: RecurringFaults = RecurringFaults::new();
    let service = &*session.service;
    let cause = format!("{service}: {detail}");
    if let Some(commands) = FAULTS.record(&cause, clock::now().into_std()) {
        tracing::warn!(service, instance = %session.instance_id, commands, detail, "invalid command refused");
    }
}

/// Completes when another call registers the same identity; pending if none does.
async fn on_replaced(replaced: oneshot::Receiver<()>) {
    if replaced.await.is_err() {
        std::future::pending().await
    }
}

/// Reads the registration; also returns the other commands of the first message.
async fn register(
    incoming: &mut Streaming<ServeRequest>,
) -> Result<(Registration, Vec<Command>), Status> {
    let missing = || Status::from(FieldError::new("command", "the first command must be register"));
    let first = timeout(REGISTER_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("register: not received in time"))??;
    let mut commands = first.ok_or_else(missing)?.commands;
    if commands.is_empty() {
        return Err(missing());
    }
    let rest = commands.split_off(1);
    let Some(Some(Kind::Register(register))) = commands.pop().map(|first| first.command) else {
        return Err(missing());
    };
    Ok((registration(register)?, rest))
}
