//! Errors of the HTTP API: a status of HTTP, and `google.rpc.Status` as JSON.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{BINARY, JSON};

/// Domain of the reasons.
const DOMAIN: &str = "minerva";

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    error: Status,
}

impl HttpError {
    pub(super) fn new(
        status: StatusCode,
        code: Code,
        reason: &'static str,
        text: impl Into<String>,
    ) -> Self {
        let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        Self { status, error: Status::with_error_details(code, text, details) }
    }

    /// An invalid body or parameter.
    pub(super) fn invalid(field: &str, problem: &str) -> Self {
        let details = ErrorDetails::with_bad_request_violation(field, problem);
        let text = format!("{field}: {problem}");
        let error = Status::with_error_details(Code::InvalidArgument, text, details);
        Self { status: StatusCode::BAD_REQUEST, error }
    }

    /// The error of a call.
    pub(super) fn of_status(error: Status) -> Self {
        Self { status: http_status(error.code()), error }
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        let text = match path.split('/').nth(1).is_some_and(|part| part.contains('.')) {
            true => {
                "gRPC needs HTTP/2: the HTTP API has the paths /v1/send, /v1/send-to-group and others"
            }
            false => "there is no such path: docs/http-api.md lists the paths, such as /v1/send",
        };
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, "NO_SUCH_PATH", text)
    }

    pub(super) fn method_not_allowed() -> Self {
        let text = "only POST is allowed: put the parameters into the body";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, Code::InvalidArgument, "METHOD_NOT_ALLOWED", text)
    }

    pub(super) fn unsupported_type() -> Self {
        let text = format!(
            "the body must be JSON or one binary message: send `Content-Type: {JSON}` or `Content-Type: {BINARY}`"
        );
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, Code::InvalidArgument, "CONTENT_TYPE", text)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let text = format!("the body is longer than {limit} bytes: divide the messages");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, Code::InvalidArgument, "BODY_TOO_LARGE", text)
    }

    /// The time is over while a call is under way.
    pub(super) fn outcome_unknown(limit: Duration) -> Self {
        let text = format!(
            "no result within {} s, so the outcome is unknown: repeat the request with the same Idempotency-Key",
            limit.as_secs()
        );
        let status = StatusCode::GATEWAY_TIMEOUT;
        Self::new(status, Code::DeadlineExceeded, "OUTCOME_UNKNOWN", text)
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = json(&self.error).to_string();
        let mut response = Response::new(Body::new(http_body_util::Full::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        let added = match self.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "POST")),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some((RETRY_AFTER, "1"))
            }
            _ => None,
        };
        headers.extend(added.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}

/// The status of HTTP for a code, as in the table of `google.rpc.Code`.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `google.rpc.Status` as JSON, with the details `ErrorInfo` and `BadRequest`. The field `contents` of the contract is
/// `messages` in this API.
fn json(error: &Status) -> Value {
    let details = error.get_error_details();
    let mut list = Vec::new();
    if let Some(info) = details.error_info() {
        list.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": info.reason,
            "domain": info.domain,
            "metadata": info.metadata,
        }));
    }
    if let Some(invalid) = details.bad_request() {
        let violations = invalid.field_violations.iter().map(|violation| {
            json!({
                "field": renamed(&violation.field),
                "description": violation.description,
            })
        });
        list.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations.collect::<Vec<_>>(),
        }));
    }
    json!({ "code": error.code() as i32, "message": renamed(error.message()), "details": list })
}

fn renamed(text: &str) -> String {
    match text.strip_prefix("contents") {
        Some(rest) => format!("messages{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(error: HttpError) -> (http::response::Parts, Value) {
        let (parts, body) = error.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn an_error_is_a_google_rpc_status() {
        let (parts, error) = body(HttpError::invalid("contents", "must not be empty")).await;
        assert_eq!(parts.status, 400);
        assert_eq!(parts.headers["content-type"], "application/json");
        let violation = json!({ "field": "messages", "description": "must not be empty" });
        let details = json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [violation],
        }]);
        let expected =
            json!({ "code": 3, "message": "messages: must not be empty", "details": details });
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn an_error_that_may_pass_has_a_time_for_the_retry() {
        for (code, status, header) in [
            (Code::Unavailable, 503, Some(("retry-after", "1"))),
            (Code::ResourceExhausted, 429, Some(("retry-after", "1"))),
            (Code::Unauthenticated, 401, Some(("www-authenticate", "Bearer"))),
            (Code::NotFound, 404, None),
            (Code::PermissionDenied, 403, None),
            (Code::DeadlineExceeded, 504, None),
            (Code::Internal, 500, None),
        ] {
            let (parts, error) = body(HttpError::of_status(Status::new(code, "text"))).await;
            assert_eq!(parts.status, status);
            assert_eq!(error["code"], code as i32);
            assert!(header.is_none_or(|(name, value)| parts.headers[name] == value), "{code:?}");
        }
        let (parts, _) = body(HttpError::method_not_allowed()).await;
        assert_eq!(
            (parts.status.as_u16(), &parts.headers["allow"]),
            (405, &"POST".parse().unwrap())
        );
    }
}
