//! Client side of the transport machine: input, hello and the end of reading.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use minerva_proto::link::{Attach, CreatedStream, EdgeMessage, End};
use minerva_proto::v3::{self, AnyHello};
use minerva_proto::{
    ClientProtocol, Eeds, Generation, Hello, KeyProof, ReceivedTags, TransportKind,
};

use super::event::{Ending, Output};
use super::fault::Fault;
use super::heartbeat::Heartbeat;
use super::inbound::Cut;
use super::resume_key::key_hash;
use super::version3::Version3;
use super::{State, Transport};

impl Transport {
    /// Whether the hello may create its stream. A reset that came with the hello creates none.
    pub fn may_create(&self) -> bool {
        self.attach.as_ref().is_some_and(|attach| attach.create)
            && !matches!(self.state, State::Ending { end: None })
    }

    pub(super) fn on_received(&mut self, now: Instant, bytes: &Bytes, last: bool) {
        self.input_due = None;
        if self.is_reading() {
            self.inbound.receive(bytes, last);
            self.read_frames(now);
        } else {
            self.inbound.on_partial(0);
        }
    }

    /// Decodes received frames while there is room, and sends the batch to the core.
    pub(super) fn read_frames(&mut self, now: Instant) {
        if !self.is_reading() || !self.inbound.has_room() {
            return;
        }
        let greeting = matches!(self.state, State::Greeting { .. });
        let mut cut = self.inbound.cut(greeting);
        let torn = self.protocol.inputs_are_whole() && !cut.starved && self.inbound.has_rest();
        if torn && cut.fault.is_none() && cut.batch.reset.is_none() {
            cut = Cut::of(self.inbound.corrupt());
        }
        if greeting {
            let Some(hello) = cut.hello.take() else {
                return self.on_no_hello(now, cut.fault);
            };
            self.on_any_hello(now, *hello);
        }
        let apart = cut.fault.take_if(|_| cut.fault_apart);
        let apart = apart.map(|fault| End { kill: Some(fault.kill_reason()) });
        if apart.is_some() {
            self.stop_reading(now, apart);
        } else {
            self.detect_end(now, &mut cut);
        }
        let batches =
            [self.inbound.keep(cut), apart.and_then(|end| self.inbound.keep(Cut::end(end)))];
        if self.has_owner {
            if greeting {
                self.send_attach();
            } else {
                let batches = batches.into_iter().flatten();
                self.outputs.extend(batches.map(|batch| Output::ToCore(EdgeMessage::Batch(batch))));
            }
        }
    }

    fn on_no_hello(&mut self, now: Instant, fault: Option<Fault>) {
        if let Some(fault) = fault {
            self.reject(now, fault);
        } else if self.inbound.is_complete() {
            self.over(Some(Ending::NoHello));
        }
    }

    fn on_any_hello(&mut self, now: Instant, hello: AnyHello) {
        match hello {
            AnyHello::V2(hello) => self.on_hello(now, hello),
            AnyHello::V3(hello) => self.on_hello_v3(now, hello),
        }
    }

    fn on_hello_v3(&mut self, now: Instant, hello: v3::Hello) {
        self.outbound.use_version_3(hello.inflates);
        let last_tag = hello.tags.pairs().last().map(|pair| pair.tag);
        let knows_creation = hello.born.is_some();
        if let Some(tag) = last_tag.or(hello.born.map(|created| created.tag)) {
            self.outbound.set_tag(tag);
        }
        self.version3 = Some(Box::new(Version3 { knows_creation, ..Version3::default() }));
        let key = key_hash(&hello.key);
        let next = hello.next.as_ref().map(key_hash);
        let (number, rewind, own) = (hello.generation, hello.rewind, hello.own);
        let proof = KeyProof { key, next, generation: Generation { number, rewind, own } };
        self.on_hello(now, hello.common);
        let Some(attach) = &mut self.attach else { return };
        // The welcome is the first write, which completes a poll only if the client needs the content. A client without
        // `new` had a welcome, which has no `born` if the claim tag of the creation is unknown.
        attach.heartbeat = (!knows_creation && attach.create) || proof.requests_positions();
        attach.protocol = ClientProtocol::V3(proof);
        attach.tag_history = hello.tags;
        attach.created =
            hello.born.map(|created| CreatedStream { stream: created.stream, tag: created.tag });
    }

    fn on_hello(&mut self, now: Instant, hello: Hello) {
        let kind = self.protocol.transport_kind(&hello);
        let (wants_messages, succeeds) = match hello.eeds {
            Eeds::Absent => (false, None),
            Eeds::Null => (true, None),
            Eeds::Number(number) => (true, Some(number)),
        };
        // Uploads are short and have no heartbeats.
        let has_heartbeat = !hello.maxia.is_zero() && (wants_messages || !self.protocol.is_http());
        self.heartbeat = Heartbeat::new(has_heartbeat.then_some(hello.maxia));
        self.client_heartbeat =
            Some(hello.beat).filter(|beat| !beat.is_zero() && !self.protocol.is_http());
        if self.protocol.is_http() {
            self.maxt_due = hello.maxt.and_then(|maxt| now.checked_add(maxt));
        }
        self.attach = Some(Box::new(Attach {
            stream_id: hello.id,
            transport_number: hello.tnum,
            create: hello.new,
            wants_messages,
            succeeds,
            seen_ack: hello.seenack,
            sack: hello.sack,
            single_flush: kind == TransportKind::LongPoll,
            heartbeat: has_heartbeat,
            kind: Some(kind),
            credentials: hello.cred.unwrap_or_default(),
            why: hello.why.unwrap_or_default(),
            caller: Arc::clone(&self.caller),
            s2c_bytes: 0,
            resume: None,
            batch: None,
            // Only a hello of version 3 reports claim tags.
            tag_history: ReceivedTags::default(),
            created: None,
            protocol: ClientProtocol::V2,
            identity: None,
        }));
        self.owner_due = Some(now + self.limits.hold_time);
        self.state = State::Attached;
    }

    /// Adds the end to a decoded batch if reading is over.
    fn detect_end(&mut self, now: Instant, cut: &mut Cut) {
        let is_upload = self.protocol.is_http()
            && self.attach.as_ref().is_some_and(|attach| !attach.wants_messages);
        if let Some(fault) = cut.fault.take() {
            cut.batch.end = Some(End { kill: Some(fault.kill_reason()) });
            self.keep_fault(fault);
        } else if cut.batch.reset.is_none()
            && is_upload
            && self.inbound.is_complete()
            && !cut.starved
        {
            cut.batch.end = Some(End { kill: None });
        }
        if cut.batch.end.is_some() || cut.batch.reset.is_some() {
            self.stop_reading(now, cut.batch.end);
        }
    }

    pub(super) fn stop_reading(&mut self, now: Instant, end: Option<End>) {
        self.state = State::Ending { end };
        self.owner_due.get_or_insert(now + self.limits.hold_time);
        self.inbound.discard();
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Greeting { .. } | State::Attached)
    }
}
