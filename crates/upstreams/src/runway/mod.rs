//! Runway's API for tasks: text, pictures, clips and performances to video, uploads, organization.
//!
//! What its Python SDK, runwayml 5.24.0, checks strictly holds here too: a task under way always tells `estimatedCost`, one
//! that ended always tells `cost`.
//!
//! Credits are counted by [`Model::credits_a_second`], and given back where a task fails or is cancelled before it runs. What
//! a prompt asks to go wrong is told in [`directives`](crate::directives): `poll` is of a task, `delete` of its cancellation,
//! `content` of the output's link. `fail-moderation` is a `SAFETY.INPUT.TEXT`, which is not given back; any other failure is an
//! `INTERNAL`. A link lasts as long as its task does.
//!
//! The fields of Runway's own models, of Veo and of `seedance2` are judged; of other partners' models only prompt and files are. A
//! performance has no prompt, so that nothing but [standing faults](Emulator::set_faults) can go wrong with one.
//!
//! Not here: the adapter that speaks to such a server (`providers`).

mod order;
mod refusal;
mod routes;
mod task;
mod uploads;

pub use order::Model;

use std::io;

use axum::Router;
use axum::response::Response;
use serde_json::Value;

use self::order::Order;
use self::refusal::Refusal;
use self::uploads::Uploads;
use crate::emulator::{self, Settings, Vendor};
use crate::fault::Status;

/// An emulated account at Runway.
pub type Emulator = emulator::Emulator<Runway>;

/// One that listens.
pub type Running = emulator::Running<Runway>;

/// What it is like.
#[derive(Debug)]
pub struct Runway {
    api_key: Option<String>,
    uploads: Uploads,
}

/// How the account is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub settings: Settings,
    /// Without one, everybody may come.
    pub api_key: Option<String>,
}

impl Vendor for Runway {
    type Order = Order;

    fn routes(emulator: &Emulator) -> Router<Emulator> {
        routes::router(emulator)
    }

    fn trouble(&self, status: &Status) -> Response {
        Refusal::on_order(status).answer()
    }

    fn envelope(&self) -> Value {
        Refusal::internal("a directive asked for an error").body()
    }
}

impl Emulator {
    /// An account that does not listen yet.
    pub fn new(config: Config) -> Self {
        Self::of(
            Runway {
                api_key: config.api_key,
                uploads: Uploads::default(),
            },
            config.settings,
        )
    }

    /// An account that listens where its configuration says.
    ///
    /// # Errors
    /// Fails where that cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Running> {
        Self::new(config).listen("").await
    }
}
