//! The routes, called in process over a real store, a real engine and the testcard.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect has failed"
)]

mod errors;
mod gate;
mod live;
mod repeats;
mod requests;
mod retention;
mod stuck;
mod videos;
