//! What a path means.

/// Where the paths of transports begin.
const PREFIX: &str = "/_minerva/";

/// Longest name of a service in a path.
const SERVICE_NAME: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// One HTTP exchange.
    Io,
    /// A WebSocket.
    Ws,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// A transport to a service.
    Transport(Endpoint, String),
    /// A page, or nothing.
    Other,
}

impl Route {
    /// `default` is the service of a path that names none.
    pub(super) fn of(path: &str, default: &str) -> Self {
        let Some(rest) = path.strip_prefix(PREFIX) else { return Self::Other };
        let (service, endpoint) = match rest.strip_suffix('/').unwrap_or(rest).split_once('/') {
            None => (default, rest),
            Some((service, endpoint)) if is_service_name(service) => (service, endpoint),
            Some(_) => return Self::Other,
        };
        match endpoint.strip_suffix('/').unwrap_or(endpoint) {
            "io" => Self::Transport(Endpoint::Io, service.to_owned()),
            "ws" => Self::Transport(Endpoint::Ws, service.to_owned()),
            _ => Self::Other,
        }
    }

    pub(super) fn is_transport(&self) -> bool {
        matches!(self, Self::Transport(..))
    }
}

/// Letters, digits, `-`, `_` and `.`, at most 64.
pub(crate) fn is_service_name(name: &str) -> bool {
    (1..=SERVICE_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(endpoint: Endpoint, service: &str) -> Route {
        Route::Transport(endpoint, service.to_owned())
    }

    #[test]
    fn paths_name_endpoint_and_service() {
        let of = |path| Route::of(path, "default");
        assert_eq!(of("/_minerva/io/"), transport(Endpoint::Io, "default"));
        assert_eq!(of("/_minerva/io"), transport(Endpoint::Io, "default"));
        assert_eq!(of("/_minerva/ws"), transport(Endpoint::Ws, "default"));
        assert_eq!(of("/_minerva/chat-2/io/"), transport(Endpoint::Io, "chat-2"));
        assert_eq!(of("/_minerva/chat/ws"), transport(Endpoint::Ws, "chat"));
        for path in
            ["/", "/io/", "/_minerva/", "/_minerva/io/x", "/_minerva/a/b/io/", "/_minerva//io/"]
        {
            assert_eq!(of(path), Route::Other, "{path}");
        }
    }

    #[test]
    fn service_names_are_at_most_64_bytes() {
        for (length, good) in [(0, false), (1, true), (63, true), (64, true), (65, false)] {
            assert_eq!(is_service_name(&"s".repeat(length)), good, "{length}");
        }
        assert!(!is_service_name("a b"));
        assert!(!is_service_name("é"));
    }
}
