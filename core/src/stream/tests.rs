//! Tests of the stream machine: scenarios after the vectors, limits, and random inputs against a model.

mod app;
mod bench;
mod choice;
mod company;
mod limits;
mod lost;
mod model;
mod transports;
