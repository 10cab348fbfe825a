//! The form of a request: headers, parameters and body, decoded as a message of the contract.
//!
//! Two fields differ from the contract. `messages` is a list of texts and of objects with `text` or `binary` (base64). The
//! idempotency key is the header `Idempotency-Key`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde_json::{Map, Value, json};
use tonic::body::Body;

use super::call::{Call, Content};
use super::error::HttpError;
use super::json::Codec;
use super::{BINARY, JSON};
use crate::config::MAX_GRPC_MESSAGE;

/// Longest body in bytes: that of a gRPC message.
const MAX_BODY: usize = MAX_GRPC_MESSAGE;
/// Longest idempotency key in bytes, as in the contract.
const MAX_KEY: usize = 64;

/// Fields of the contract that this API replaces, with the replacement.
const REPLACED: [(&str, &str); 3] = [
    ("contents", "use `messages`, a list of texts and of {\"text\": ...} or {\"binary\": ...}"),
    ("idempotencyKey", "send the header Idempotency-Key"),
    ("idempotency_key", "send the header Idempotency-Key"),
];

/// Form of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Binary,
}

/// A request with a complete body.
#[derive(Debug)]
pub(super) struct RawRequest {
    form: Form,
    /// The parameters of the URL; only of requests with a binary body.
    query: Option<String>,
    key: Option<Bytes>,
    body: Bytes,
}

impl RawRequest {
    /// Checks the headers and reads the body.
    pub(super) async fn read(request: Request<Body>) -> Result<Self, HttpError> {
        let form = form(request.headers())?;
        let key = request.headers().get("idempotency-key").map(key).transpose()?;
        let query = request.uri().query().map(str::to_owned);
        if form == Form::Json && query.is_some() {
            return Err(HttpError::invalid("query", "put the parameters into the JSON body"));
        }
        // Before the body is sent by a client that waits for `100 Continue`.
        if request.body().size_hint().lower() > MAX_BODY as u64 {
            return Err(HttpError::too_large(MAX_BODY));
        }
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => HttpError::too_large(MAX_BODY),
            false => HttpError::invalid("body", "the body is incomplete: send all of it"),
        })?;
        Ok(Self { form, query, key, body: body.to_bytes() })
    }

    /// The request as a message of the contract.
    pub(super) fn decode<C: Call>(self, codec: &Codec) -> Result<C, HttpError> {
        let (object, content) = match self.form {
            Form::Json => (object(&self.body)?, None),
            Form::Binary => {
                (parameters(self.query.as_deref().unwrap_or_default())?, Some(self.body))
            }
        };
        let mut request: C = codec.decode(C::REQUEST, Value::Object(object))?;
        match (request.content(), content) {
            (Some(Content { messages, key }), content) => {
                if let Some(binary) = content {
                    messages.push(binary_message(binary));
                }
                *key = self.key.unwrap_or_default();
            }
            (None, Some(_)) => return Err(HttpError::unsupported_type()),
            (None, None) => {}
        }
        Ok(request)
    }
}

fn binary_message(bytes: Bytes) -> minerva_proto::app::Message {
    let content = Some(minerva_proto::app::message::Content::Binary(bytes));
    minerva_proto::app::Message { content }
}

fn form(headers: &HeaderMap) -> Result<Form, HttpError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    [(JSON, Form::Json), (BINARY, Form::Binary)]
        .into_iter()
        .find(|(name, _)| essence.eq_ignore_ascii_case(name))
        .map(|(_, form)| form)
        .ok_or_else(HttpError::unsupported_type)
}

fn key(value: &HeaderValue) -> Result<Bytes, HttpError> {
    let bytes = value.as_bytes();
    let is_valid = (1..=MAX_KEY).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match is_valid {
        true => Ok(Bytes::copy_from_slice(bytes)),
        false => {
            let problem = "must be 1 to 64 characters 0x21-0x7E, such as a UUID";
            Err(HttpError::invalid("Idempotency-Key", problem))
        }
    }
}

/// The object of a JSON body, with the fields of the contract.
fn object(body: &[u8]) -> Result<Map<String, Value>, HttpError> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| HttpError::invalid("body", &format!("is no JSON: {error}")))?;
    let Value::Object(mut object) = json else {
        return Err(HttpError::invalid("body", "must be a JSON object"));
    };
    for (field, replacement) in REPLACED {
        if object.contains_key(field) {
            return Err(HttpError::invalid(field, replacement));
        }
    }
    if let Some(messages) = object.remove("messages") {
        object.insert("contents".to_owned(), contents(messages)?);
    }
    Ok(object)
}

fn contents(messages: Value) -> Result<Value, HttpError> {
    let Value::Array(messages) = messages else {
        return Err(HttpError::invalid("messages", "must be a list, such as [\"hello\"]"));
    };
    let content = |(index, message)| match message {
        Value::String(text) => Ok(json!({ "text": text })),
        Value::Object(object) if is_content(&object) => Ok(Value::Object(object)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let fix = "must be a text, {\"text\": TEXT} or {\"binary\": BASE64}";
            Err(HttpError::invalid("messages", &format!("message {index}: {fix}")))
        }
    };
    messages.into_iter().enumerate().map(content).collect()
}

fn is_content(object: &Map<String, Value>) -> bool {
    let is_known = |(name, value): (&String, &Value)| {
        ["text", "binary"].contains(&name.as_str()) && value.is_string()
    };
    object.len() == 1 && object.iter().all(is_known)
}

/// The parameters of a URL: `group`, or `stream` or `label`, and `service`. A stream id is a secret, which URLs disclose
/// to logs.
fn parameters(query: &str) -> Result<Map<String, Value>, HttpError> {
    let (mut object, mut target) = (Map::new(), Map::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let into = match &*name {
            "group" | "service" => &mut object,
            "stream" | "label" => &mut target,
            _ => {
                let problem = "the URL may have the parameters group, stream, label and service";
                return Err(HttpError::invalid("query", problem));
            }
        };
        if into.insert(name.to_string(), Value::String(value.into_owned())).is_some() {
            return Err(HttpError::invalid(&name, "occurs twice in the URL"));
        }
    }
    if object.contains_key("group") || target.is_empty() {
        object.extend((!target.is_empty()).then(|| ("target".to_owned(), Value::Object(target))));
        return Ok(object);
    }
    target.extend(object.remove_entry("service"));
    Ok(Map::from_iter([("target".to_owned(), Value::Object(target))]))
}

#[cfg(test)]
mod tests;
