//! The version of the wire protocol of each client, and with it the contents of the messages.

use crate::messages::{Contents, service_of};
use crate::plan::Clients;

/// Version that a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientVersion {
    V2,
    /// Version 3, or version 2 if the server has no other.
    Auto,
    V3,
}

/// The versions of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) clients: Clients,
    pub(crate) services: usize,
    /// Whether cores and edges serve version 3.
    pub(crate) serves_v3: bool,
    /// Whether every second instance has release 0.1.
    pub(crate) has_old_apps: bool,
    /// Number of instances.
    pub(crate) instances: usize,
}

impl Versions {
    /// The version that a client requests.
    pub(crate) fn of(&self, client: usize) -> ClientVersion {
        let is_v2 = self.clients == Clients::V2 || client % 4 == 3;
        match (is_v2, self.serves_v3) {
            (true, _) => ClientVersion::V2,
            (false, true) if self.has_new_app(client) => ClientVersion::V3,
            (false, false) if client % 4 < 2 => ClientVersion::Auto,
            (false, _) => ClientVersion::V2,
        }
    }

    /// Whether the stream of a client has version 3.
    pub(crate) fn is_v3(&self, client: usize) -> bool {
        self.of(client) == ClientVersion::V3
    }

    /// Contents of the messages of a client's stream.
    pub(crate) fn contents(&self, client: usize) -> Contents {
        if self.is_v3(client) { Contents::Any } else { Contents::Ascii }
    }

    /// Whether an instance has release 0.1, which serves no streams of version 3.
    pub(crate) fn is_old_app(&self, instance: usize) -> bool {
        self.has_old_apps && instance % 2 == 1
    }

    /// Whether the service of a client has an instance that serves streams of version 3.
    fn has_new_app(&self, client: usize) -> bool {
        let service = service_of(client, self.services);
        (service..self.instances).step_by(self.services).any(|app| !self.is_old_app(app))
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            clients: Clients::V2,
            services: 1,
            serves_v3: false,
            has_old_apps: false,
            instances: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_version_3_needs_a_server_and_an_instance_of_this_release() {
        let new = Versions {
            clients: Clients::Tagged,
            services: 2,
            serves_v3: true,
            has_old_apps: false,
            instances: 4,
        };
        let of = |versions: Versions| [0, 1, 2, 3].map(|client| versions.of(client));
        use ClientVersion::{Auto, V2, V3};
        assert_eq!(of(new), [V3, V3, V3, V2]);
        // The instances 1 and 3 of the service 1 are old.
        assert_eq!(of(Versions { has_old_apps: true, ..new }), [V3, V2, V3, V2]);
        assert_eq!(of(Versions { serves_v3: false, ..new }), [Auto, Auto, V2, V2]);
        assert_eq!(of(Versions { clients: Clients::V2, ..new }), [V2; 4]);
    }
}
