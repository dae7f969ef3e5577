//! What is true about a video job, whoever asks and wherever it is stored.
//!
//! Ids, money, the normalised request, the job's state machine, price and routing rules, the failure
//! taxonomy and the [`provider::Provider`] seam.
//!
//! Not here: I/O, clocks, sockets, SQL. Time and chance come in as arguments, so everything in this
//! crate can be replayed, fuzzed and tested without waiting.

pub mod calendar;
pub mod id;
pub mod money;
pub mod time;

pub mod address;
pub mod asset;
pub mod facts;
pub mod frame_size;
pub mod request;

pub mod ledger;
pub mod pricing;
pub mod routing;

pub mod action;
pub mod failure;
pub mod job;
pub mod key;
pub mod provider;
pub mod provider_key;
pub mod repeat;
