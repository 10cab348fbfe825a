//! How the tasks behind a gRPC call are run. A string passes a chain of them, each of which wakes the next; what
//! tokio does about a wake is what a lone string costs. The core's store uses this for its connections.

mod in_one_go;

pub use in_one_go::InOneGo;
