//! What one client may take of the server before it is told to come back later: calls per key, failed logins per
//! address, memory for bodies, live watchers per key.
//!
//! Each is of this process alone and bounded in memory. Not here: what a key may spend (`core::key`), how much may
//! wait to be written (`store`).

mod body_memory;
mod failed_logins;
mod key_rate;
mod watchers;

pub(crate) use body_memory::{BodyMemory, Room};
pub(crate) use failed_logins::FailedLogins;
pub(crate) use key_rate::KeyRate;
pub(crate) use watchers::{Place, Watchers};

use filmgate_engine::Engine;

use crate::Config;

#[derive(Debug)]
pub struct Limits {
    pub(crate) key_rate: KeyRate,
    pub(crate) failed_logins: FailedLogins,
    pub(crate) body_memory: BodyMemory,
    pub(crate) watchers: Watchers,
}

impl Limits {
    pub fn new(config: &Config, engine: &Engine) -> Self {
        Self {
            key_rate: KeyRate::new(
                config.key_requests_per_second,
                config.key_burst,
                engine.clone(),
            ),
            failed_logins: FailedLogins::new(config.failed_logins_per_minute),
            body_memory: BodyMemory::new(
                // Every body that is allowed fits, if it comes alone.
                config.body_memory_bytes.max(config.create_body_bytes),
            ),
            watchers: Watchers::new(config.live_watchers_per_key),
        }
    }

    /// Waits until nobody follows a video any more: for a shutdown, after [`crate::Api::stop`].
    pub async fn watchers_left(&self) {
        self.watchers.left().await;
    }
}
