//! A core: the real ownership task and partition tasks over the store model, with models of the two gRPC servers.

mod link;
mod process;
mod session;
mod stream_calls;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use minerva_core::partition::{
    PartitionTable, SessionEnd, StreamCallId, StreamReply, StreamRequest,
};
use minerva_core::simulation as convert;
use minerva_core::stream::AppOutput;
use minerva_proto::app::{Command, Register, command};
use minerva_proto::link::{CoreFrame, greeting};

use self::link::Link;
use self::process::Process;
pub(crate) use self::process::{CoreStopped, Deployment};
use self::session::Session;
use self::stream_calls::PendingCall;
use crate::checker::Checker;
use crate::connection::{ConnId, Side};
use crate::event::{Content, Life};
use crate::network::Network;
use crate::push::OutsideCall;
use crate::release_0_1;
use crate::wake_flag::LoopWaker;

/// One core.
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) life: Life,
    pub(crate) state: State,
    is_standby: bool,
    release: Release,
    deployment: Deployment,
    process: Option<Process>,
    links: BTreeMap<u64, Link>,
    sessions: BTreeMap<u64, Session>,
    calls: Vec<PendingCall>,
    waker: Arc<LoopWaker>,
    /// Inputs received while paused.
    deferred: VecDeque<CoreInput>,
    /// The last number of a link, session or call.
    last_number: u64,
}

/// The program of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Release 0.1: sends and understands no later fields, and permits only stored content of version 1.
    Old,
    /// This release, but the operator permits only stored content of version 1.
    Pinned,
    New,
}

/// Lifecycle of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Down,
    Up,
    /// All tasks are suspended.
    Paused,
    /// Releases all partitions, then restarts.
    Stopping,
}

/// An input from a connection.
pub(crate) enum CoreInput {
    Link(u64, Content),
    LinkLost(u64),
    Session(u64, Content),
    SessionLost(u64),
}

/// Outputs of the partitions.
pub(crate) enum CoreOutput {
    Edge(u64, Vec<CoreFrame>),
    App(u64, Vec<AppOutput>),
    /// The reply to a call from outside; `None`: the outcome is unknown.
    Reply(OutsideCall, Option<StreamReply>),
}

impl Core {
    pub(crate) fn new(index: usize, is_standby: bool, deployment: Deployment) -> Self {
        Self {
            index,
            life: 0,
            state: State::Down,
            is_standby,
            release: Release::New,
            deployment,
            process: None,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            calls: Vec::new(),
            waker: Arc::default(),
            deferred: VecDeque::new(),
            last_number: 0,
        }
    }

    /// Starts the core.
    pub(crate) fn start(&mut self, release: Release) {
        self.life += 1;
        (self.state, self.release) = (State::Up, release);
        let mut deployment = self.deployment.clone();
        deployment.options.stored_version = self.permitted_version();
        let (index, life, is_standby) = (self.index, self.life, self.is_standby);
        self.process = Some(Process::spawn(index, life, is_standby, deployment, &self.waker));
    }

    /// The newest stored version that the program or its operator permits.
    pub(crate) fn permitted_version(&self) -> u32 {
        match self.release {
            Release::Old | Release::Pinned => 1,
            Release::New => self.deployment.options.stored_version,
        }
    }

    /// Drops all state. The caller has cut the connections.
    pub(crate) fn crash(&mut self) {
        self.state = State::Down;
        if let Some(process) = self.process.take() {
            process.task.abort();
        }
        self.links.clear();
        self.sessions.clear();
        self.calls.clear();
        self.deferred.clear();
    }

    /// Whether a program of release 0.1 runs.
    pub(crate) fn is_old(&self) -> bool {
        self.state != State::Down && self.release == Release::Old
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.state != State::Down
    }

    /// Number of announced partitions.
    pub(crate) fn owned(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.owned.len())
    }

    /// The announced partitions.
    pub(crate) fn owned_partitions(&self) -> Vec<u32> {
        self.process.iter().flat_map(|process| process.owned.iter().copied()).collect()
    }

    /// Whether the core announces ownership of the partition.
    pub(crate) fn announces(&self, partition: u32) -> bool {
        let owns = |process: &Process| process.owned.contains(&partition);
        self.is_reachable() && self.process.as_ref().is_some_and(owns)
    }

    /// Suspends all tasks.
    pub(crate) fn pause(&mut self) {
        self.state = State::Paused;
        if let Some(process) = &self.process {
            process.suspension.suspend();
        }
    }

    /// Resumes the tasks and handles the deferred inputs.
    pub(crate) fn resume(&mut self, life: Life, net: &mut Network, checker: &mut Checker) {
        if life != self.life || self.state != State::Paused {
            return;
        }
        self.state = State::Up;
        if let Some(process) = &self.process {
            process.suspension.resume();
        }
        for input in std::mem::take(&mut self.deferred) {
            self.receive(input, net, checker);
        }
    }

    /// Begins to release all partitions. Calls end afterwards.
    pub(crate) fn stop(&mut self) {
        self.state = State::Stopping;
        if let Some(stop) = self.process.as_mut().and_then(|process| process.stop.take()) {
            // The task may have ended.
            let _ = stop.send(());
        }
    }

    /// Closes all links and sessions.
    pub(crate) fn end_calls(&mut self, net: &mut Network) {
        for link in self.links.values() {
            net.close(link.conn, Side::Callee);
        }
        for session in self.sessions.values() {
            net.close(session.conn, Side::Callee);
        }
    }

    /// Handles an input, or defers it while paused.
    pub(crate) fn receive(&mut self, input: CoreInput, net: &mut Network, checker: &mut Checker) {
        if self.state == State::Paused {
            self.deferred.push_back(input);
            return;
        }
        match input {
            CoreInput::Link(link, content) => self.on_link(link, content, net, checker),
            CoreInput::LinkLost(link) => self.on_link_lost(link, net),
            CoreInput::Session(session, content) => self.on_session(session, content, net, checker),
            CoreInput::SessionLost(session) => self.on_session_lost(session, net, checker),
        }
    }

    /// Allocates the number of a link, session or call.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn accept_link(&mut self, number: u64, conn: ConnId) {
        self.links.insert(number, Link::new(number, conn, self.is_old(), &self.waker));
    }

    pub(crate) fn accept_session(&mut self, number: u64, conn: ConnId) {
        self.sessions.insert(number, Session::new(number, conn, self.is_old(), &self.waker));
    }

    /// Receives a call from outside.
    pub(crate) fn call(&mut self, call: OutsideCall, request: StreamRequest) {
        let Some(partitions) = self.partitions() else { return };
        let id = StreamCallId(self.next_number());
        self.calls.push(PendingCall::send(id, call, request, &partitions, &self.waker));
    }

    /// Collects outputs of the partitions, or registers the waker.
    pub(crate) fn poll_outputs(
        &mut self,
        cx: &mut Context<'_>,
        outputs: &mut Vec<(usize, CoreOutput)>,
    ) {
        if self.state == State::Paused {
            return;
        }
        if !self.waker.begin_poll(cx.waker()) {
            return;
        }
        if let Some(process) = &mut self.process {
            process.update_owned();
        }
        for (number, link) in &mut self.links {
            let frames = link.receive();
            if !frames.is_empty() {
                outputs.push((self.index, CoreOutput::Edge(*number, frames)));
            }
        }
        for (number, session) in &mut self.sessions {
            let events = session.receive();
            if !events.is_empty() {
                outputs.push((self.index, CoreOutput::App(*number, events)));
            }
        }
        self.calls.retain_mut(|call| match call.poll() {
            Poll::Pending => true,
            Poll::Ready((call, reply)) => {
                outputs.push((self.index, CoreOutput::Reply(call, reply)));
                false
            }
        });
    }

    /// Releases outputs of the partitions to the network.
    pub(crate) fn release(&mut self, output: CoreOutput, net: &mut Network, checker: &mut Checker) {
        match output {
            CoreOutput::Edge(number, frames) => {
                if let Some(link) = self.links.get_mut(&number) {
                    link.release(frames, net, checker);
                }
            }
            CoreOutput::App(number, events) => {
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.release(events, net, checker);
                }
            }
            CoreOutput::Reply(call, reply) => stream_calls::release(call, reply, net, checker),
        }
    }

    fn on_link(&mut self, number: u64, content: Content, net: &mut Network, checker: &mut Checker) {
        let Content::ToCore(frames) = content else { return self.on_link_lost(number, net) };
        let (name, Deployment { partitions, hash, serves_v3, .. }) =
            (self.name(), &self.deployment);
        let mut hello = greeting::core_hello(name, *partitions, *hash);
        hello.wire_version = if *serves_v3 { 3 } else { 2 };
        let (Some(partitions), Some(link)) = (self.partitions(), self.links.get_mut(&number))
        else {
            return;
        };
        for frame in frames {
            if let Err(error) = link.on_frame(frame, &hello, &partitions, net) {
                checker.violation(format!("frame of an edge: {error}"));
            }
        }
    }

    fn on_link_lost(&mut self, number: u64, net: &mut Network) {
        let (Some(link), Some(partitions)) = (self.links.remove(&number), self.partitions()) else {
            return;
        };
        net.close(link.conn, Side::Callee);
        partitions.remove_link(link.id());
    }

    fn on_session(
        &mut self,
        number: u64,
        content: Content,
        net: &mut Network,
        checker: &mut Checker,
    ) {
        let Content::Commands(commands) = content else {
            return self.on_session_lost(number, net, checker);
        };
        for mut command in commands {
            if self.is_old() {
                release_0_1::command(&mut command);
            }
            if let Err(error) = self.on_command(number, command, net, checker) {
                checker.violation(format!("command of an instance: {error}"));
            }
        }
    }

    fn on_command(
        &mut self,
        number: u64,
        command: Command,
        net: &mut Network,
        checker: &mut Checker,
    ) -> Result<(), String> {
        if let Some(command::Command::Register(register)) = command.command {
            return self.register(number, register, net, checker);
        }
        match (self.sessions.get(&number), self.partitions()) {
            (Some(session), Some(partitions)) => session.on_command(command, &partitions),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Registers a session. An earlier session of the same instance ends.
    fn register(
        &mut self,
        number: u64,
        register: Register,
        net: &mut Network,
        checker: &mut Checker,
    ) -> Result<(), String> {
        let registration = convert::registration(register)?;
        checker.on_registered(&registration.service);
        let mut sessions = self.sessions.iter();
        let earlier = sessions.find(|(n, s)| **n != number && s.is_of(&registration.instance_id));
        if let Some(earlier) = earlier.map(|(number, _)| *number) {
            self.on_session_lost(earlier, net, checker);
        }
        let (partitions, name) = (self.partitions(), self.name());
        if let (Some(session), Some(partitions)) = (self.sessions.get_mut(&number), partitions) {
            session.register(registration, &self.deployment.limits, &name, &partitions, net);
        }
        Ok(())
    }

    fn on_session_lost(&mut self, number: u64, net: &mut Network, checker: &mut Checker) {
        let (Some(session), Some(partitions)) = (self.sessions.remove(&number), self.partitions())
        else {
            return;
        };
        net.close(session.conn, Side::Callee);
        checker.on_session_died(session.conn);
        partitions.remove_session(session.id(), SessionEnd::Died);
    }

    fn name(&self) -> String {
        process::name(self.index, self.life)
    }

    fn partitions(&self) -> Option<PartitionTable> {
        self.process.as_ref().map(|process| process.partitions.clone())
    }
}
