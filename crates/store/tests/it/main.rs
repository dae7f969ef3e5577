//! What every store promises, run against every engine there is.

#![expect(
    clippy::unwrap_used,
    reason = "builders and sentences are test code, whichever attribute they stand under"
)]

mod builders;
mod engine;

mod actions;
mod activity;
mod histories;
mod housekeeping;
mod idempotency;
mod jobs;
mod key_limits;
mod keys;
mod leases;
mod ledger;
mod lists;
mod parking;
mod places;
mod postgres_database;
mod postgres_processes;
mod provider_keys;
mod repeats;
mod sqlite_file;
mod sqlite_upgrade;
mod successes;
mod turns;
mod usage;
mod work;
