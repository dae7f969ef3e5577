//! A self-hosted server that speaks OpenAI's `/v1/videos`: vLLM-Omni, SGLang, LiteLLM's proxy, or the dialect as
//! OpenAI speaks it.
//!
//! Data goes `form` → `order` → [`jobs`](crate::jobs) → `flavour` for a create.
//! What a prompt asks to go wrong is told in [`directives`](crate::directives).
//!
//! Not here: rendering (`testcard`, by way of [`films`](crate::films)), the adapter that speaks to such a server
//! (`providers`).

mod flavour;
mod form;
mod order;
mod refusal;
mod routes;

pub use flavour::Flavour;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use serde_json::Value;

use self::flavour::Occasion;
use self::order::Order;
use self::refusal::Refusal;
use crate::emulator::{self, Settings, Vendor};
use crate::fault::{Reason, Status};
use crate::jobs::{self, Job};

/// An emulated server of this dialect.
pub type Emulator = emulator::Emulator<Server>;

/// One that listens.
pub type Running = emulator::Running<Server>;

/// Which server it is like.
#[derive(Debug)]
pub struct Server(Config);

/// How the server is set up.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub settings: Settings,
    pub flavour: Flavour,
    /// Without one, everybody may come.
    pub api_key: Option<String>,
    /// Without any, every name is taken.
    pub models: Vec<String>,
    pub storage: Storage,
}

/// Where finished files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    #[default]
    Local,
    /// Uploaded to a bucket, of which a job tells the address. Known to SGLang alone.
    Cloud,
}

impl Vendor for Server {
    type Order = Order;

    fn routes(emulator: &Emulator) -> Router<Emulator> {
        routes::router(emulator)
    }

    fn trouble(&self, status: &Status) -> Response {
        Refusal::on_order(status).answer(self.0.flavour)
    }

    fn envelope(&self) -> Value {
        let trouble = Status {
            code: 500,
            retry_after_seconds: None,
            reason: Reason::Directive,
        };
        Refusal::on_order(&trouble).body(self.0.flavour)
    }

    /// No server of this dialect calls by itself; this one does where a create says where, in the field `callback_url`.
    fn callback(emulator: &Emulator, id: &str) -> Option<(String, Value)> {
        let job = emulator.jobs().find(id)?;
        let url = jobs::Order::fields(&job.order)
            .get("callback_url")?
            .as_str()?;
        let view = routes::view(emulator, Occasion::List, String::new());
        Some((url.to_owned(), emulator.flavour().tell(&job, &view).1))
    }
}

impl Emulator {
    /// A server that does not listen yet: for whoever puts its [`router`](Self::router) somewhere.
    pub fn new(config: Config) -> Self {
        let settings = config.settings.clone();
        Self::of(Server(config), settings)
    }

    /// A server that listens where its configuration says.
    ///
    /// # Errors
    /// Fails where that cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Running> {
        Self::new(config).listen("/v1").await
    }

    fn config(&self) -> &Config {
        &self.vendor().0
    }

    fn flavour(&self) -> Flavour {
        self.config().flavour
    }

    fn load(&self, id: &str) -> Result<Arc<Job<Order>>, Refusal> {
        self.jobs().find(id).ok_or_else(|| routes::not_found(id))
    }

    fn answered(&self, answer: Result<Response, Refusal>) -> Response {
        answer.unwrap_or_else(|refusal| refusal.answer(self.flavour()))
    }
}
