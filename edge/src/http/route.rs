//! The meaning of a request path: a transport to a service, or a page. Called by `http.rs`.

use http::Method;
use minerva_proto::{ServiceName, ServiceNameError};

/// First part of the paths of transports.
const PREFIX: &str = "/_minerva/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// One HTTP exchange.
    Io,
    /// Several HTTP exchanges in one request.
    Mux {
        /// Whether the path names the service. A part of the request then names none.
        has_service: bool,
    },
    /// A WebSocket.
    Ws,
}

impl Endpoint {
    /// The method of a transport, and the list of all methods.
    pub(crate) fn methods(self) -> (Method, &'static str) {
        match self {
            Self::Io | Self::Mux { .. } => (Method::POST, "POST, OPTIONS"),
            Self::Ws => (Method::GET, "GET, OPTIONS"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A transport to a service.
    Transport(Endpoint, ServiceName),
    /// A transport whose service cannot exist.
    InvalidService(ServiceNameError),
    /// A page, or nothing.
    Other,
}

impl Route {
    /// `default` is the service of a path without one.
    pub(crate) fn of(path: &str, default: &ServiceName) -> Self {
        let Some(rest) = path.strip_prefix(PREFIX) else { return Self::Other };
        let (service, endpoint) = match rest.strip_suffix('/').unwrap_or(rest).split_once('/') {
            None => (None, rest),
            Some((service, endpoint)) => (Some(service), endpoint),
        };
        let endpoint = match endpoint.strip_suffix('/').unwrap_or(endpoint) {
            "io" => Endpoint::Io,
            "mux" => Endpoint::Mux { has_service: service.is_some() },
            "ws" => Endpoint::Ws,
            _ => return Self::Other,
        };
        match service.map_or_else(|| Ok(default.clone()), ServiceName::parse) {
            Ok(service) => Self::Transport(endpoint, service),
            Err(error) => Self::InvalidService(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(endpoint: Endpoint, service: &str) -> Route {
        Route::Transport(endpoint, service.parse().unwrap())
    }

    fn of(path: &str) -> Route {
        Route::of(path, &ServiceName::default())
    }

    #[test]
    fn paths_name_endpoint_and_service() {
        assert_eq!(of("/_minerva/io/"), transport(Endpoint::Io, "default"));
        assert_eq!(of("/_minerva/io"), transport(Endpoint::Io, "default"));
        assert_eq!(of("/_minerva/ws"), transport(Endpoint::Ws, "default"));
        assert_eq!(of("/_minerva/chat-2/io/"), transport(Endpoint::Io, "chat-2"));
        let mux = |has_service| Endpoint::Mux { has_service };
        assert_eq!(of("/_minerva/mux/"), transport(mux(false), "default"));
        assert_eq!(of("/_minerva/chat/mux/"), transport(mux(true), "chat"));
        assert_eq!(of("/_minerva/chat/ws"), transport(Endpoint::Ws, "chat"));
        for path in ["/", "/io/", "/_minerva/", "/_minerva/io/x", "/_minerva/a/b/io/"] {
            assert_eq!(of(path), Route::Other, "{path}");
        }
    }

    #[test]
    fn a_path_with_a_service_that_cannot_exist_is_no_transport() {
        let long = format!("/_minerva/{}/ws", "s".repeat(65));
        for path in ["/_minerva/Default/io/", "/_minerva/a.b/ws", "/_minerva//io/", &long] {
            assert!(matches!(of(path), Route::InvalidService(_)), "{path}");
        }
        assert_eq!(of("/_minerva/Default/other/"), Route::Other);
    }
}
