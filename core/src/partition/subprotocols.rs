//! The option `--subprotocols`: the services that clients may select, by requested service.
//!
//! Used by the streams of a partition. The stream machine reads the selecting message.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use minerva_proto::ServiceName;

use crate::stream::Services;

/// A service that clients of another service may select; written `[REQUESTED=]NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocol {
    /// Service in the client's hello.
    pub requested: Arc<str>,
    /// Service that the client can select.
    pub name: Arc<str>,
}

impl FromStr for Subprotocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (requested, name) = text.split_once('=').unwrap_or((ServiceName::DEFAULT, text));
        let service = |text| match ServiceName::parse(text) {
            Ok(name) => Ok(name.into()),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { requested: service(requested)?, name: service(name)? })
    }
}

/// The services that clients may select, by requested service.
#[derive(Default)]
pub(super) struct Subprotocols(HashMap<Arc<str>, Services>);

impl Subprotocols {
    pub(super) fn new(subprotocols: &[Subprotocol]) -> Self {
        let mut by_requested: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for Subprotocol { requested, name } in subprotocols {
            by_requested.entry(requested.clone()).or_default().push(name.clone());
        }
        Self(by_requested.into_iter().map(|(requested, names)| (requested, names.into())).collect())
    }

    /// The services that clients of `requested` may select; `None` if there is nothing to select.
    pub(super) fn of(&self, requested: &str) -> Option<&Services> {
        self.0.get(requested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_names_services() {
        let read = |text: &str| {
            let read = text.parse::<Subprotocol>().ok()?;
            Some(format!("{} {}", read.requested, read.name))
        };
        assert_eq!(read("chat").as_deref(), Some("default chat"));
        assert_eq!(read("lobby=chat").as_deref(), Some("lobby chat"));
        for wrong in ["", "=chat", "lobby=", "a b", "Chat", "a=b=c", &"s".repeat(65)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(read(&"s".repeat(64)).is_some());
    }

    #[test]
    fn services_are_found_by_the_requested_service() {
        let options = ["chat", "lobby=chat", "lobby=lobby"].map(|text| text.parse().unwrap());
        let subprotocols = Subprotocols::new(&options);
        let names = |requested| subprotocols.of(requested).map(|services| services.join(" "));
        assert_eq!(names("default").as_deref(), Some("chat"));
        assert_eq!(names("lobby").as_deref(), Some("chat lobby"));
        assert_eq!(names("chat"), None);
    }
}
