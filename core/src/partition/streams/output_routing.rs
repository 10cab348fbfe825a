//! Routing of released outputs to the links, sessions and callers.

use minerva_proto::link::{CoreFrame, CoreMessage};
use minerva_proto::mutation::{self, Mutation};

use super::PartitionStreams;
use crate::stream::{AppOutput, Output};

impl PartitionStreams {
    /// Sends released outputs. Outputs for receivers that are gone are dropped.
    pub(in crate::partition) fn send(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Edge(link, output) => {
                    let link = self.links.get(&link);
                    if let Some(link) = link.filter(|link| link.claim_tags || !is_gated(&output)) {
                        link.outputs.send(output);
                    }
                }
                Output::App(session, mut output) => {
                    self.set_output_epoch(&mut output);
                    if let Some(session) = self.assignment.session(session) {
                        session.outputs.send(output);
                    }
                }
                Output::Reply(call, reply) => {
                    if let Some(caller) = self.callers.remove(&call) {
                        let _ = caller.send(reply);
                    }
                }
            }
        }
    }

    /// Sets the current epoch: a rewrite after a rollback may have changed the epoch since the turn of the output.
    fn set_output_epoch(&self, output: &mut AppOutput) {
        if let AppOutput::Started(started) = output {
            started.epoch = self.epoch;
        } else if let AppOutput::PartitionOwned { epoch, .. } | AppOutput::Lost { epoch, .. } =
            output
        {
            *epoch = self.epoch;
        }
    }
}

/// Whether a frame reports a claim tag, which only an edge with this feature may get.
fn is_gated(frame: &CoreFrame) -> bool {
    matches!(frame, CoreFrame::Transport { message: CoreMessage::Tag(_), .. })
        && !mutation::is(Mutation::SendUngated)
}
