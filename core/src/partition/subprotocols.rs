//! Which services clients may pick by their first string, and where: the option's form, and how the owner looks
//! it up. What a first string does is the stream machine's business.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use minerva_proto::ServiceName;

use crate::stream::Services;

/// One service that clients may pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocol {
    /// The service that they dialled.
    pub dialled: Arc<str>,
    /// The service that they get.
    pub name: Arc<str>,
}

impl FromStr for Subprotocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (dialled, name) = text.split_once('=').unwrap_or((ServiceName::DEFAULT, text));
        let service = |text| match ServiceName::parse(text) {
            Ok(name) => Ok(name.into()),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { dialled: service(dialled)?, name: service(name)? })
    }
}

/// The services that may be picked, by the service that was dialled.
#[derive(Default)]
pub(super) struct Subprotocols(HashMap<Arc<str>, Services>);

impl Subprotocols {
    pub(super) fn new(subprotocols: &[Subprotocol]) -> Self {
        let mut by_dialled: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for Subprotocol { dialled, name } in subprotocols {
            by_dialled.entry(dialled.clone()).or_default().push(name.clone());
        }
        Self(by_dialled.into_iter().map(|(dialled, names)| (dialled, names.into())).collect())
    }

    /// What clients that dial a service may pick from; `None`: they get what they dial.
    pub(super) fn of(&self, dialled: &str) -> Option<&Services> {
        self.0.get(dialled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_services() {
        let read = |text: &str| {
            let read = text.parse::<Subprotocol>().ok()?;
            Some(format!("{} {}", read.dialled, read.name))
        };
        assert_eq!(read("chat").as_deref(), Some("default chat"));
        assert_eq!(read("lobby=chat").as_deref(), Some("lobby chat"));
        for wrong in ["", "=chat", "lobby=", "a b", "Chat", "a=b=c", &"s".repeat(65)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(read(&"s".repeat(64)).is_some());
    }

    #[test]
    fn services_are_found_by_what_was_dialled() {
        let options = ["chat", "lobby=chat", "lobby=lobby"].map(|text| text.parse().unwrap());
        let subprotocols = Subprotocols::new(&options);
        let names = |dialled| subprotocols.of(dialled).map(|services| services.join(" "));
        assert_eq!(names("default").as_deref(), Some("chat"));
        assert_eq!(names("lobby").as_deref(), Some("chat lobby"));
        assert_eq!(names("chat"), None);
    }
}
