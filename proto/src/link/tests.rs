//! Tests of the checked codec: round trips of random values, the rules of single fields, and the weights.
#![cfg(feature = "grpc")]

mod checks;
mod greeting;
mod release_0_1;
mod round_trip;
mod unknown;
mod values;
