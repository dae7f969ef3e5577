//! Calls per key and second, with a burst on top.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use filmgate_core::id::KeyId;
use filmgate_engine::Engine;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

/// Keys that have been quiet are forgotten after so many calls.
const TIDIED_EVERY: u32 = 10_000;

/// The engine's clock, as the limiter wants it.
#[derive(Clone)]
struct EngineClock(Engine);

impl Clock for EngineClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().millis()).unwrap_or(0))
    }
}

/// `None` inside: no limit.
pub(crate) struct KeyRate(Option<Limiter>);

struct Limiter {
    rates: RateLimiter<KeyId, DefaultKeyedStateStore<KeyId>, EngineClock, NoOpMiddleware<Duration>>,
    clock: EngineClock,
    calls: AtomicU32,
}

impl std::fmt::Debug for KeyRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRate")
    }
}

impl KeyRate {
    /// No limit where `per_second` is 0. A burst is never less than a second's calls.
    pub(crate) fn new(per_second: u32, burst: u32, engine: Engine) -> Self {
        let burst = NonZeroU32::new(burst.max(per_second));
        let (Some(per_second), Some(burst)) = (NonZeroU32::new(per_second), burst) else {
            return Self(None);
        };
        let clock = EngineClock(engine);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self(Some(Limiter {
            rates: RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()),
            clock,
            calls: AtomicU32::new(0),
        }))
    }

    /// Counts a call; how long to wait where it is one too many.
    pub(crate) fn count(&self, key: KeyId) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else {
            return Ok(());
        };
        if limiter.calls.fetch_add(1, Ordering::Relaxed) % TIDIED_EVERY == TIDIED_EVERY - 1 {
            limiter.rates.retain_recent();
        }
        limiter
            .rates
            .check_key(&key)
            .map_err(|not_yet| not_yet.wait_time_from(limiter.clock.now()))
    }
}
