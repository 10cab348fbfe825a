//! A core's end of an instance's call: registers it with the partitions, reads its commands as the core does, and
//! lets out what partitions say. Every output passes the checker.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use minerva_core::partition::{OutputReceiver, SessionHandle, SessionId, output_channel};
use minerva_core::simulation as real;
use minerva_core::stream::AppOutput;
use minerva_proto::app::{Command, Event, Register, command, event};

use super::Core;
use crate::checker::Checker;
use crate::event::Content;
use crate::network::{ConnId, Network, Side};

/// A session.
pub(super) struct Session {
    number: u64,
    pub(super) conn: ConnId,
    handle: Option<SessionHandle>,
    pub(super) receiver: Option<OutputReceiver<AppOutput>>,
}

impl Session {
    pub(super) fn new(number: u64, conn: ConnId) -> Self {
        Self { number, conn, handle: None, receiver: None }
    }

    pub(super) fn id(&self) -> SessionId {
        SessionId(self.number)
    }

    pub(super) fn let_out(
        &mut self,
        outputs: Vec<AppOutput>,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        for output in &outputs {
            checker.on_app_output(output, net);
        }
        net.trace.note(net.now, "let out to app", [self.number, outputs.len() as u64, 0]);
        net.trace.say(|| format!("{outputs:?}"));
        let events = real::serve_response(outputs).events;
        net.send(self.conn, Side::Callee, Content::Events(events));
    }
}

impl Core {
    pub(super) fn on_session(
        &mut self,
        number: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Content::Commands(commands) = content else {
            return self.on_session_lost(number, net);
        };
        for command in commands {
            if let Err(error) = self.obey(number, command, net) {
                checker.violation(format!("an instance says to a core {error}"));
            }
        }
    }

    pub(super) fn on_session_lost(&mut self, number: u64, net: &mut Network) {
        let (Some(session), Some(router)) = (self.sessions.remove(&number), self.partitions())
        else {
            return;
        };
        net.close(session.conn, Side::Callee);
        router.remove_session(session.id());
    }

    fn obey(&mut self, number: u64, command: Command, net: &mut Network) -> Result<(), String> {
        if let Some(command::Command::Register(register)) = command.command {
            return self.register(number, register, net);
        }
        let (Some(session), Some(router)) = (self.sessions.get(&number), self.partitions()) else {
            return Ok(());
        };
        let (stream, mail) = real::command(session.id(), command)?;
        let partition = router.of_number(stream).ok_or("a stream number that cannot be")?;
        router.send(partition, mail);
        Ok(())
    }

    fn register(
        &mut self,
        number: u64,
        register: Register,
        net: &mut Network,
    ) -> Result<(), String> {
        let registration = real::registration(register)?;
        let is_same = |session: &Session| {
            session.handle.as_ref().is_some_and(|h| h.instance_id == registration.instance_id)
        };
        let earlier = self.sessions.iter().find(|(n, s)| **n != number && is_same(s));
        if let Some(earlier) = earlier.map(|(number, _)| *number) {
            self.on_session_lost(earlier, net);
        }
        let (router, name) = (self.partitions(), self.name());
        let (Some(session), Some(router)) = (self.sessions.get_mut(&number), router) else {
            return Ok(());
        };
        let (outputs, receiver) = output_channel();
        let handle = SessionHandle {
            id: SessionId(number),
            service: registration.service,
            instance_id: registration.instance_id,
            window: registration.window,
            load: Arc::new(AtomicUsize::new(0)),
            outputs,
        };
        (session.handle, session.receiver) = (Some(handle.clone()), Some(receiver));
        let registered = event::Event::Registered(real::registered(&self.deployment.limits, &name));
        let event = Event { event: Some(registered) };
        net.send(session.conn, Side::Callee, Content::Events(vec![event]));
        router.add_session(handle, registration.held);
        Ok(())
    }
}
