//! Google's Vertex AI for Veo: tokens of a service account, long-running predictions, files in buckets.
//!
//! What google-genai 2.34.0 with google-auth 2.62.2 is content with, under `/v1` and `/v1beta1` alike. Videos come in the
//! answer, or lie in the bucket that the create names; a bucket keeps them as long as the operation is remembered, and needs
//! the token. An assertion has to be signed by the account's own key, and says the fixed address of Google's for whom it is
//! meant. Tokens are good until they are called in: the clock here is moved by tests, and the client's is not.
//!
//! What a prompt asks to go wrong is told in [`directives`](crate::directives): `poll` is of the operation, `content` of a
//! file in a bucket; nothing can be deleted. A video inside an answer may be empty, a page or half of itself, and no other fault
//! of `content` is taken there. `fail-moderation` keeps back every video, `filtered=N` some; any other failure is the
//! `google.rpc.Status` of its number.
//!
//! Not here: masks, Gemini Omni, the adapter that speaks to such a server (`providers`).

mod operation;
mod order;
mod refusal;
mod routes;
mod service_account;

pub use order::Model;
pub use service_account::Tokens;

use std::io;

use axum::Router;
use axum::response::Response;
use serde_json::Value;

use self::order::Order;
use self::refusal::Refusal;
use self::service_account::ServiceAccount;
use crate::emulator::{self, Settings, Vendor};
use crate::fault::Status;

/// An emulated project.
pub type Emulator = emulator::Emulator<GoogleVertex>;

/// One that listens.
pub type Running = emulator::Running<GoogleVertex>;

/// What it is like.
#[derive(Debug)]
pub struct GoogleVertex {
    account: ServiceAccount,
}

/// How the project is set up.
#[derive(Debug, Clone)]
pub struct Config {
    pub settings: Settings,
    pub project: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            project: "emulated-project".to_owned(),
        }
    }
}

impl Vendor for GoogleVertex {
    type Order = Order;

    fn routes(_emulator: &Emulator) -> Router<Emulator> {
        routes::router()
    }

    fn trouble(&self, status: &Status) -> Response {
        Refusal::on_order(status).answer()
    }

    fn envelope(&self) -> Value {
        Refusal::internal("a directive asked for an error").body()
    }
}

impl Emulator {
    /// A project that does not listen yet.
    pub fn new(config: Config) -> Self {
        Self::of(
            GoogleVertex {
                account: ServiceAccount::new(config.project),
            },
            config.settings,
        )
    }

    /// A project that listens where its configuration says.
    ///
    /// # Errors
    /// Fails where that cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Running> {
        Self::new(config).listen("").await
    }

    /// The key of its only service account, as its file has it, for an emulator that is reached at `origin`.
    pub fn service_account(&self, origin: &str) -> Value {
        self.vendor().account.file(origin)
    }

    /// How the tokens stand that were given.
    pub fn tokens(&self) -> Tokens {
        self.vendor().account.tokens()
    }

    /// Calls in all tokens given so far.
    pub fn expire_tokens(&self) {
        self.vendor().account.expire_tokens();
    }
}
