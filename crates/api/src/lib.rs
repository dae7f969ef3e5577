//! HTTP: what clients say becomes calls of the engine, and what the store knows becomes answers.
//!
//! A request goes `request_id` → `auth` → `request` (parsing) → `native` (one file per endpoint) → engine; what
//! goes wrong on the way becomes HTTP in `error` alone. `native::view` is the only place a job is shown.
//!
//! Not here: any call to a provider, SQL, what a job costs, which clock (`engine.now()`).

mod answered;
mod arrival;
mod auth;
mod config;
mod connection;
mod docs;
mod error;
mod etag;
mod idempotency;
mod limits;
mod native;
mod ops;
mod origin;
mod paging;
mod prefer;
mod query;
mod request;
mod request_id;
mod status_cache;
mod unread;

pub use config::{Config, VideoConfig};
pub use connection::{Connection, Listener, Peer};
pub use limits::Limits;
pub use status_cache::StatusCache;

use std::sync::Arc;

use axum::Router;
use filmgate_assets::signed_link::LinkKeys;
use filmgate_engine::Engine;
use tokio_util::sync::CancellationToken;

/// What the routes are served from.
#[derive(Clone)]
pub struct Api {
    pub engine: Engine,
    pub link_keys: Arc<LinkKeys>,
    pub config: Config,
    pub video: VideoConfig,
    pub statuses: StatusCache,
    pub limits: Arc<Limits>,
    /// Cancelled when the process shuts down: whoever waits is answered at once, whoever follows is told to go.
    pub stop: CancellationToken,
}

/// The state every handler is handed.
pub(crate) type Shared = Arc<Api>;

/// All routes. Served on a [`Listener`], with `ConnectInfo<Peer>`; without it no proxy is trusted, and no reader of
/// something live is cut off.
pub fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let (routes, openapi) = docs::routes(&api).split_for_parts();
    let routes = routes
        .merge(ops::documents(docs::finished(openapi)))
        .fallback(error::no_such_route)
        .with_state(Arc::clone(&api));
    request_id::wrap(routes, &api)
}

/// The contract as OpenAPI 3.1, for `filmgate openapi`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    docs::openapi()
}
