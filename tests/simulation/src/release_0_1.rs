//! Frames, commands and events as programs of release 0.1 send and understand them: without the fields that were added
//! later. A program skips unknown fields on arrival and never sends them.

use minerva_proto::app::{Command, Event, command, event};
use minerva_proto::link::pb::{CoreFrame, EdgeFrame, core_frame, edge_frame};

/// Removes the later fields of a frame of an edge.
pub(crate) fn edge_frame(frame: &mut EdgeFrame) {
    match &mut frame.frame {
        Some(edge_frame::Frame::Hello(hello)) => {
            (hello.max_version, hello.features) = (0, Vec::new());
        }
        Some(edge_frame::Frame::Attach(attach)) => {
            (attach.tag_history, attach.created) = (Vec::new(), None);
            attach.address_key = 0;
            if let Some(resume) = &mut attach.resume {
                resume.tag = None;
            }
            if let Some(batch) = &mut attach.batch {
                batch.tag_history.clear();
            }
        }
        Some(edge_frame::Frame::Batch(batch)) => batch.tag_history.clear(),
        _ => {}
    }
}

/// Removes the later fields of a frame of a core.
pub(crate) fn core_frame(frame: &mut CoreFrame) {
    match &mut frame.frame {
        Some(core_frame::Frame::Hello(hello)) => {
            (hello.max_version, hello.features) = (0, Vec::new());
            hello.partition_key.clear();
        }
        Some(core_frame::Frame::Opened(opened)) => opened.created_tag = 0,
        Some(core_frame::Frame::Messages(messages)) => messages.tag = None,
        _ => {}
    }
}

/// Whether the frame requires a feature that no edge of release 0.1 has.
pub(crate) fn is_gated(frame: &CoreFrame) -> bool {
    matches!(&frame.frame, Some(core_frame::Frame::Messages(messages)) if messages.tag.is_some())
}

/// Removes the later fields of a command of an instance.
pub(crate) fn command(command: &mut Command) {
    if let Some(command::Command::Register(register)) = &mut command.command {
        (register.max_version, register.features) = (0, Vec::new());
        register.held.clear();
    }
}

/// Removes the later fields of an event of a core.
pub(crate) fn event(event: &mut Event) {
    match &mut event.event {
        Some(event::Event::Registered(registered)) => {
            (registered.max_version, registered.features) = (0, Vec::new());
        }
        Some(event::Event::Started(started)) => {
            (started.created_tag, started.finishing) = (0, false);
            if let Some(state) = &mut started.send_state {
                state.tag = 0;
            }
        }
        Some(event::Event::Messages(messages)) => messages.tag = 0,
        Some(event::Event::SendState(state)) => state.tag = 0,
        Some(event::Event::Released(released)) => (released.lost, released.epoch) = (false, 0),
        _ => {}
    }
}
