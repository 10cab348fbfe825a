//! Decoders of the core for the fuzz targets (`fuzz/`). No program contains this module.

use minerva_proto::{PartitionHash, Payload, app};

use crate::partition::PartitionTable;
use crate::stream_service::decode;

/// Decodes a `Send` call from outside; returns the messages.
///
/// # Errors
/// The text of the validation error.
pub fn send(request: app::SendRequest) -> Result<Vec<Payload>, String> {
    decode::send(request).map(|send| send.messages).map_err(|error| error.to_string())
}

/// Decodes a `SendMany` call; returns the number of addressed streams and the messages.
///
/// # Errors
/// The text of the validation error.
pub fn send_many(request: app::SendManyRequest) -> Result<(usize, Vec<Payload>), String> {
    let send = decode::send_many(request, &PartitionTable::new(64, PartitionHash::UNKEYED))
        .map_err(|error| error.to_string())?;
    Ok((send.by_partition.values().map(Vec::len).sum(), send.messages))
}

/// Decodes a `SendToGroup` call.
///
/// # Errors
/// The text of the validation error.
pub fn send_to_group(request: app::SendToGroupRequest) -> Result<(), String> {
    decode::send_to_group(request).map(drop).map_err(|error| error.to_string())
}

/// Decodes a `Reset` call; returns the reason.
///
/// # Errors
/// The text of the validation error.
pub fn reset(request: app::ResetRequest) -> Result<String, String> {
    decode::reset(request).map(|(_, reset)| reset.reason).map_err(|error| error.to_string())
}

/// Decodes a `List` call; returns the size of the page.
///
/// # Errors
/// The text of the validation error.
pub fn list(request: app::ListRequest) -> Result<usize, String> {
    decode::list(request).map(|list| list.limit).map_err(|error| error.to_string())
}
