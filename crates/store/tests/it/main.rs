//! What every store promises, run against every engine there is.

mod builders;
mod engine;

mod idempotency;
mod jobs;
mod keys;
mod ledger;
mod lists;
mod sqlite_file;
mod work;
