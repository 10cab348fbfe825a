//! What carries the calls of a service. Chosen at its start; used by its lines.

#[cfg(feature = "testing")]
use minerva_proto::app::app_service_server::AppServiceServer;

/// What carries the calls of a service.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// Connections to the addresses of the cores.
    Network,
    /// Nothing: the core is in this process, whatever the address.
    #[cfg(feature = "testing")]
    Memory(AppServiceServer<crate::testing::Core>),
}
