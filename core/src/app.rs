//! The application API's server: the `Serve` calls of application instances. Owns one call per instance:
//! registers it with every partition, checks and routes its commands, and sends back what partitions
//! say. Knows nothing of streams beyond their numbers. Served by [`crate::Core::serve_api`].

pub(crate) mod decode;
pub(crate) mod encode;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use minerva_proto::app::app_service_server::AppService;
use minerva_proto::app::command::Command as Kind;
use minerva_proto::app::{Command, Event, Registered, ServeRequest, ServeResponse, event};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use self::decode::{Registration, registration};
use self::sessions::Sessions;
use crate::invalid::Invalid;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outgoing::{Control, Outgoing};
use crate::partition::{Partitions, SessionHandle, SessionId};
use crate::stop::Stopping;
use crate::stream::AppOutput;

/// Time for the instance's registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// What all calls of a core share.
pub(crate) struct AppServer {
    partitions: Partitions,
    sessions: Arc<Sessions>,
    limits: Registered,
    metrics: Metrics,
    stopping: Stopping,
    /// Number of the next call.
    next: AtomicU64,
}

impl AppServer {
    pub(crate) fn new(
        partitions: Partitions,
        core_id: &str,
        limits: &Limits,
        metrics: Metrics,
        stopping: Stopping,
    ) -> Self {
        let sessions = Arc::new(Sessions::new(partitions.clone()));
        let limits = encode::registered(limits, core_id);
        Self { partitions, sessions, limits, metrics, stopping, next: AtomicU64::new(1) }
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
        let call = Call {
            id: SessionId(self.next.fetch_add(1, Ordering::Relaxed)),
            partitions: self.partitions.clone(),
            sessions: Arc::clone(&self.sessions),
            limits: self.limits.clone(),
            metrics: self.metrics.clone(),
        };
        tokio::spawn(call.run(request.into_inner(), control, self.stopping.clone()));
        Ok(Response::new(outgoing))
    }
}

/// One call: its reading half.
struct Call {
    id: SessionId,
    partitions: Partitions,
    sessions: Arc<Sessions>,
    limits: Registered,
    metrics: Metrics,
}

impl Call {
    async fn run(
        self,
        mut incoming: Streaming<ServeRequest>,
        control: Control<AppOutput>,
        stopping: Stopping,
    ) {
        let Control { greeting, outputs, end } = control;
        let result = match register(&mut incoming).await {
            Ok((registration, rest)) => {
                let event = Some(event::Event::Registered(self.limits.clone()));
                // An instance that is gone needs no greeting.
                let _ = greeting.send(ServeResponse { events: vec![Event { event }] });
                let session = SessionHandle {
                    id: self.id,
                    service: registration.service,
                    instance_id: registration.instance_id,
                    window: registration.window,
                    load: Arc::new(AtomicUsize::new(0)),
                    outputs,
                };
                self.serve(session, registration.held, rest, incoming, stopping).await
            }
            Err(status) => Err(status),
        };
        let _ = end.send(result);
    }

    /// Serves a registered instance until either side ends the call.
    async fn serve(
        &self,
        session: SessionHandle,
        held: Vec<u64>,
        rest: Vec<Command>,
        incoming: Streaming<ServeRequest>,
        mut stopping: Stopping,
    ) -> Result<(), Status> {
        tracing::info!(
            session = session.id.0,
            service = %session.service,
            instance = %session.instance_id,
            "an application instance is registered"
        );
        self.metrics.instances.inc();
        let replaced = self.sessions.join(session.clone(), held);
        let result = tokio::select! {
            result = self.read(&session, rest, incoming) => result,
            () = session.outputs.closed() => Ok(()),
            () = on_replaced(replaced) => {
                Err(Status::aborted("another call has registered with the same instance_id"))
            }
            () = stopping.wait() => Err(Status::unavailable("the core stops")),
        };
        self.sessions.leave(&session);
        self.metrics.instances.dec();
        let error = result.as_ref().err().map(Status::message);
        tracing::info!(session = session.id.0, error, "an application instance has left");
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

    /// Waits while a partition has no room, or the instance does not take the answers to what it said: its
    /// socket is not read meanwhile.
    async fn route_all(
        &self,
        session: &SessionHandle,
        commands: Vec<Command>,
    ) -> Result<(), Invalid> {
        self.metrics.app_commands.inc_by(commands.len() as u64);
        for command in commands {
            let (stream, mail) = decode::command(self.id, command)?;
            let partition = self.partitions.of_number(stream).ok_or_else(|| {
                Invalid::new("stream", format!("{stream} is not a number that a stream can have"))
            })?;
            session.outputs.has_room().await;
            self.partitions.send_with_room(partition, mail).await;
        }
        Ok(())
    }
}

/// Waits until another call takes the identity; for ever if none does.
async fn on_replaced(replaced: oneshot::Receiver<()>) {
    if replaced.await.is_err() {
        std::future::pending().await
    }
}

/// Reads the registration; returns it with the commands that came in the same message.
async fn register(
    incoming: &mut Streaming<ServeRequest>,
) -> Result<(Registration, Vec<Command>), Status> {
    let missing = || Status::from(Invalid::new("command", "the first must be register"));
    let first = timeout(REGISTER_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("register: did not come"))??;
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
