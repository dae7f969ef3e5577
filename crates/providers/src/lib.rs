//! Outside vendors: one adapter each, from core's words to the vendor's messages and back.
//!
//! An adapter is one file with what it is split into beside it; it opens no socket and reads no clock, so its tests are
//! recorded messages (`recorded/`). Which adapters are configured is the binary's business, what a model can do the
//! catalogue's, sending and repeating the engine's.

pub mod google_vertex;
pub mod openai_compatible;
pub mod runway;

mod form;
mod inlined;
#[cfg(test)]
mod odd;
mod path;
#[cfg(test)]
mod recorded;
mod redaction;
mod retry_after;
mod unclear;
