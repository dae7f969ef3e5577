//! Emulated vendors, able to misbehave: for tests, `filmgate dev upstream` and the bench.
//!
//! One vendor each: [`google_vertex`], [`openai_compatible`], [`runway`]. What every vendor needs stands beside them: the
//! [`emulator`] itself with its jobs and faults, a [`clock`] that can be moved, and [`films`], the clips that are delivered.
//!
//! An emulator keeps everything in memory and forgets it with its process. It runs no task for a job: how a job
//! stands follows from the time that has passed since it was accepted. [`directives`] tells how to ask for a bad day.
//!
//! Not here: speaking to a vendor (`providers`), servers that tests merely need (`testbed`).

pub mod clock;
pub mod directives;
pub mod emulator;
pub mod films;
pub mod google_vertex;
pub mod openai_compatible;
pub mod runway;

mod content;
mod control;
mod fault;
mod jobs;
mod sent;
mod standing;

pub use jobs::{Counts, JobRecord, PromptCounts};
pub use sent::{Encoding, Reference};
