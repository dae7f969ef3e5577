//! The emulated upstreams over sockets, each fault as a client meets it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod faults;
mod flavours;
mod plain;
