//! The whole gateway, from outside: the binary is started, asked, stopped, killed and started again.
//!
//! Each test has a gateway of its own, on a free loopback port and in a directory that is gone afterwards. What
//! every test uses lives in `gate` (processes and HTTP), `order` (what is asked for), `status_object` (what a status may
//! look like) and `wall_clock` (what time it is).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bucket;
mod fleet;
mod gate;
mod order;
mod redact;
mod routes;
mod status_object;
mod wall_clock;

mod access;
mod ageing;
mod backup;
mod commands;
mod content;
mod crash;
mod disabled;
mod errors;
mod failures;
mod idempotency;
mod inputs;
mod keys;
mod ledger_commands;
mod limits;
mod live;
mod media;
mod money;
mod own_provider;
mod prepaid;
mod provider_keys;
mod replicas;
mod retention;
mod stuck;
mod torture;
mod usage;
mod vendors;
mod videos;
