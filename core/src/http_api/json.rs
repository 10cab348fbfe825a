//! Converts messages of the contract from and to JSON, by their descriptors (proto3 JSON mapping).

use minerva_proto::app::DESCRIPTORS;
use prost::Message;
use prost_reflect::{
    DescriptorError, DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor,
    SerializeOptions,
};
use serde_json::Value;
use tonic::Code;

use super::error::HttpError;

/// The descriptors of the contract; cheap to clone.
#[derive(Clone)]
pub(super) struct Codec {
    pool: DescriptorPool,
}

impl Codec {
    pub(super) fn new() -> Result<Self, DescriptorError> {
        Ok(Self { pool: DescriptorPool::decode(DESCRIPTORS)? })
    }

    fn message(&self, name: &str) -> Result<MessageDescriptor, HttpError> {
        let found = self.pool.get_message_by_name(&format!("minerva.app.v1.{name}"));
        found.ok_or_else(|| internal(&format!("no descriptor of {name}")))
    }

    /// Decodes a JSON object as the message `name`. Unknown fields are an error.
    pub(super) fn decode<M: Message + Default>(
        &self,
        name: &str,
        json: Value,
    ) -> Result<M, HttpError> {
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(self.message(name)?, json, &options);
        let message = message.map_err(|error| HttpError::invalid("body", &error.to_string()))?;
        M::decode(&*message.encode_to_vec()).map_err(|error| internal(&error.to_string()))
    }

    /// Encodes the message `name` with all fields.
    pub(super) fn encode<M: Message>(&self, name: &str, message: &M) -> Result<String, HttpError> {
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(self.message(name)?, &*bytes)
            .map_err(|error| internal(&error.to_string()))?;
        let options = SerializeOptions::new().skip_default_fields(false);
        let mut json = serde_json::Serializer::new(Vec::new());
        let written = message.serialize_with_options(&mut json, &options);
        written.map_err(|error| internal(&error.to_string()))?;
        String::from_utf8(json.into_inner()).map_err(|error| internal(&error.to_string()))
    }
}

fn internal(problem: &str) -> HttpError {
    let text = format!("a message cannot be converted: {problem}");
    let status = http::StatusCode::INTERNAL_SERVER_ERROR;
    HttpError::new(status, Code::Internal, "CONVERSION", text)
}
