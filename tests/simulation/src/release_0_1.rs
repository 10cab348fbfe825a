//! Frames, commands and events as programs of release 0.1 send and understand them: without the fields that were added
//! later. A program skips unknown fields on arrival and never sends them.
//!
//! Messages with later fields are taken apart field by field, so that a new field or kind requires a decision here.

use minerva_proto::app::{
    Command, Event, Messages, Register, Registered, Released, SendRefused, SendState, SetLimits,
    Started, command, event,
};
use minerva_proto::link::pb;
use minerva_proto::link::pb::{
    Attach, Batch, CoreFrame, CoreHello, EdgeFrame, EdgeHello, Opened, Resume, core_frame,
    edge_frame,
};

/// Removes the later fields of a frame of an edge.
pub(crate) fn edge_frame(frame: &mut EdgeFrame) {
    use edge_frame::Frame;
    match &mut frame.frame {
        Some(Frame::Hello(EdgeHello { version: _, edge_id: _, max_version, features })) => {
            (*max_version, *features) = (0, Vec::new());
        }
        Some(Frame::Attach(sent)) => attach(sent),
        Some(Frame::Batch(sent)) => batch(sent),
        Some(Frame::Detach(_) | Frame::Grant(_)) | None => {}
    }
}

fn attach(attach: &mut Attach) {
    let Attach {
        transport: _,
        service: _,
        stream_id: _,
        transport_number: _,
        create: _,
        wants_messages: _,
        succeeds: _,
        seen_ack: _,
        sack: _,
        single_flush: _,
        heartbeat: _,
        kind: _,
        credentials: _,
        why: _,
        headers: _,
        peer_address: _,
        s2c_bytes: _,
        resume,
        batch: first,
        tag_history,
        created,
        address_key,
        version: _,
        key_hash: _,
        next_key_hash: _,
        generation: _,
        rewind: _,
        rewind_number: _,
        own: _,
    } = attach;
    (*tag_history, *created, *address_key) = (Vec::new(), None, 0);
    if let Some(Resume { next_s2c: _, stream: _, tag }) = resume {
        *tag = None;
    }
    first.iter_mut().for_each(batch);
}

fn batch(batch: &mut Batch) {
    let Batch {
        transport: _,
        number: _,
        runs: _,
        sacks: _,
        reset: _,
        end: _,
        tag_history,
        credentials: _,
    } = batch;
    tag_history.clear();
}

/// Removes the later fields of a frame of a core.
pub(crate) fn core_frame(frame: &mut CoreFrame) {
    use core_frame::Frame;
    match &mut frame.frame {
        Some(Frame::Hello(hello)) => {
            let CoreHello {
                version: _,
                core_id: _,
                partitions: _,
                max_version,
                features,
                partition_key,
                wire_version,
            } = hello;
            (*max_version, *features, *wire_version) = (0, Vec::new(), 0);
            partition_key.clear();
        }
        Some(Frame::Opened(opened)) => {
            let Opened {
                transport: _,
                created: _,
                sack: _,
                stream: _,
                created_tag,
                heartbeat_after,
                positions: _,
            } = opened;
            (*created_tag, *heartbeat_after) = (0, 0);
        }
        Some(Frame::Messages(messages)) => {
            let pb::Messages {
                transport: _,
                first: _,
                messages: _,
                tag,
                binary: _,
                compress,
                renew_within_ms,
            } = messages;
            (*tag, *compress, *renew_within_ms) = (None, None, None);
        }
        Some(Frame::Close(close)) => {
            // The cause was added later.
            let is_later = matches!(&close.cause, Some(pb::close::Cause::Refused(_)));
            close.cause = close.cause.take().filter(|_| !is_later);
        }
        Some(Frame::Sack(_) | Frame::Taken(_) | Frame::Owned(_) | Frame::Released(_)) | None => {}
    }
}

/// Whether the frame requires a feature that no edge of release 0.1 has.
pub(crate) fn is_gated(frame: &CoreFrame) -> bool {
    matches!(&frame.frame, Some(core_frame::Frame::Messages(messages)) if messages.tag.is_some())
}

/// Removes the later fields of a command of an instance.
pub(crate) fn command(command: &mut Command) {
    use command::Command;
    match &mut command.command {
        Some(Command::Register(register)) => {
            let Register {
                service: _,
                instance_id: _,
                stream_window_bytes: _,
                held_streams: _,
                max_version,
                features,
                held,
            } = register;
            (*max_version, *features) = (0, Vec::new());
            held.clear();
        }
        Some(Command::SetLimits(limits)) => {
            let SetLimits {
                stream: _,
                max_idle_ms: _,
                outbox_bytes: _,
                outbox_messages: _,
                ack_timeout_ms,
                compress,
                retained_messages,
                retained_bytes,
                retained_age_ms,
                hold,
            } = limits;
            (*ack_timeout_ms, *retained_age_ms, *hold) = (None, None, None);
            (*retained_messages, *retained_bytes, *compress) = (None, None, None);
        }
        // The commands were added later, behind features.
        Some(Command::Finish(_) | Command::Sync(_)) => command.command = None,
        Some(
            Command::Acknowledge(_)
            | Command::Send(_)
            | Command::Reset(_)
            | Command::SetLabel(_)
            | Command::JoinGroup(_)
            | Command::LeaveGroup(_),
        )
        | None => {}
    }
}

/// Removes the later fields of an event of a core.
pub(crate) fn event(event: &mut Event) {
    use event::Event;
    match &mut event.event {
        Some(Event::Registered(registered)) => {
            let Registered {
                outbox_bytes: _,
                outbox_messages: _,
                max_message_bytes: _,
                core_id: _,
                max_version,
                features,
            } = registered;
            (*max_version, *features) = (0, Vec::new());
        }
        Some(Event::Started(arrived)) => started(arrived),
        Some(Event::Messages(messages)) => {
            let Messages { stream: _, first_event: _, messages: _, tag, attempts, contents: _ } =
                messages;
            (*tag, *attempts) = (0, 0);
        }
        Some(Event::SendState(state)) => send_state(state),
        Some(Event::SendRefused(refused)) => {
            let SendRefused { stream: _, first: _, reason: _, next_send: _, detail, index } =
                refused;
            detail.clear();
            *index = None;
        }
        Some(Event::Released(released)) => {
            let Released { stream: _, lost, epoch } = released;
            (*lost, *epoch) = (false, 0);
        }
        // The events were added later.
        Some(
            Event::CommandRefused(_) | Event::Synced(_) | Event::Rejoined(_) | Event::Renewed(_),
        ) => event.event = None,
        Some(
            Event::TransportChanged(_)
            | Event::Ended(_)
            | Event::PartitionOwned(_)
            | Event::PartitionLeft(_)
            | Event::GroupRefused(_),
        )
        | None => {}
    }
}

fn started(started: &mut Started) {
    let Started {
        stream: _,
        stream_id: _,
        resumed: _,
        next_event: _,
        next_send: _,
        credentials: _,
        headers: _,
        peer_address: _,
        transport: _,
        started_at_ms: _,
        send_state: state,
        epoch: _,
        label: _,
        groups: _,
        created_tag,
        assignment,
        attempts,
        finishing,
        accepts,
        finish_reason,
        identity,
    } = started;
    (*created_tag, *assignment, *attempts, *accepts) = (0, 0, 0, 0);
    (*finishing, *identity) = (false, None);
    finish_reason.clear();
    state.iter_mut().for_each(send_state);
}

fn send_state(state: &mut SendState) {
    let SendState { stream: _, next_send: _, bytes_left: _, messages_left: _, paused: _, tag } =
        state;
    *tag = 0;
}
