//! Packs frames for an edge into gRPC messages.

use std::collections::VecDeque;

use minerva_proto::link::pb::RelayResponse;
use minerva_proto::link::{CoreFrame, encode};

use super::coalesce::coalesce;
use crate::outgoing::Pack;

impl Pack for CoreFrame {
    type Message = RelayResponse;
    type Receiver = ();

    fn weight(&self) -> usize {
        self.weight()
    }

    fn pack(items: Vec<Self>, (): ()) -> RelayResponse {
        RelayResponse { frames: items.into_iter().map(encode::core_frame).collect() }
    }

    fn coalesce(items: Vec<Self>) -> VecDeque<Self> {
        coalesce(items)
    }
}
