//! What every store promises, run against every engine there is.

#![expect(
    clippy::unwrap_used,
    reason = "builders and sentences are test code, whichever attribute they stand under"
)]

mod builders;
mod engine;

mod idempotency;
mod jobs;
mod keys;
mod ledger;
mod lists;
mod sqlite_file;
mod work;
