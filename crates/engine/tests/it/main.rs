//! The engine over a real store and real files, with a provider that behaves as each test says and a clock
//! that stands until it is moved.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_days;
mod cadence;
mod failover;
mod house;
mod housekeeping;
mod keys;
mod lossy;
mod money;
mod network;
mod repeats;
mod stuck;
mod uploads;
