//! The API token of a service or of [`Streams`](crate::Streams), as metadata of each call. Never printed.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::StartError;

/// Variable with the token of programs that set none.
const VARIABLE: &str = "MINERVA_TOKEN";

/// Adds the token to calls; without a token the calls are unchanged.
#[derive(Clone, Default)]
pub(crate) struct Authorization(Option<MetadataValue<Ascii>>);

impl Authorization {
    /// Of the given token, or of the environment if there is none.
    ///
    /// # Errors
    /// If the token cannot be sent.
    pub(crate) fn new(token: Option<&Token>) -> Result<Self, StartError> {
        match token {
            Some(Token(token)) => Self::of(token),
            None => Self::of(&std::env::var(VARIABLE).unwrap_or_default()),
        }
    }

    /// Of a token; surrounding white space is ignored, and an empty token is no token.
    pub(crate) fn of(token: &str) -> Result<Self, StartError> {
        let token = token.trim();
        if token.is_empty() {
            return Ok(Self(None));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(StartError::Token);
        }
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        let mut value = value.map_err(|_| StartError::Token)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Omits the token.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Authorization(..)" } else { "Authorization(none)" })
    }
}

/// A token before its check.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

/// Omits the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(token: &str) -> Option<String> {
        let request = Authorization::of(token).unwrap().call(Request::new(())).unwrap();
        let value = request.metadata().get("authorization");
        value.map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_is_sent_as_bearer() {
        assert_eq!(sent("mnv_a_b\n"), Some("Bearer mnv_a_b".to_owned()));
        assert_eq!((sent(""), sent("  ")), (None, None));
        for wrong in ["a b", "a\nb", "é", "a\u{7f}"] {
            let error = Authorization::of(wrong).unwrap_err().to_string();
            assert!(!error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn no_debug_output_has_the_token() {
        let secret = "mnv_secret";
        let authorization = Authorization::of(secret).unwrap();
        let request = authorization.clone().call(Request::new(())).unwrap();
        let builder = crate::Service::connect("127.0.0.1:1").token(secret);
        let streams = crate::Streams::at("127.0.0.1:1").unwrap().token(secret).unwrap();
        for text in [
            format!("{authorization:?}"),
            format!("{:?}", request.metadata()),
            format!("{builder:?}"),
            format!("{streams:?}"),
        ] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
