//! The emulated upstreams over sockets, each fault as a client meets it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should end where it is"
)]

mod client;
mod faults;
mod flavours;
mod plain;
