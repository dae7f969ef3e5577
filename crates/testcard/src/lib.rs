//! The built-in provider: a renderer of test cards, an in-process HTTP service in front of it, and the
//! adapter that speaks to that service.
//!
//! Data goes `adapter` → `service` → `renders` → `render` → `picture` → `mp4`. The adapter is an ordinary
//! [`filmgate_core::provider::Provider`]: it builds and reads messages and never calls the service itself.
//! Whoever drives it hands messages for [`ORIGIN`] to a [`TestcardService`] instead of a socket.
//!
//! The same order always renders to the same bytes, and a render's id follows from its order, so nothing
//! here needs to be stored: what a process forgets or never knew, it can render again.
//!
//! Not here: which models, sizes and prices are on offer (the catalogue), storing outputs (`assets`),
//! clocks and sockets (`engine`).

mod adapter;
mod mp4;
mod order;
mod outputs;
mod picture;
pub mod render;
mod renders;
mod service;
mod simulate;
mod sound;
mod text;
mod wire;

pub use adapter::Testcard;
pub use mp4::FilmError;
pub use order::{FRAME_RATE, JobOrder, OrderFault, RenderOrder};
pub use renders::Limits;
pub use service::TestcardService;
pub use simulate::{CancelBehaviour, Simulation};
pub use wire::BASE_URL as ORIGIN;
