//! The one clock of a process.
//!
//! Not here: deciding anything by it. Replicas' clocks differ; a commit is safe because of its fence.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use filmgate_core::time::UnixTime;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> UnixTime;

    /// Goes by the time that all processes on one database share.
    fn correct(&self, _shared: UnixTime) {}
}

/// The wall clock at start, and monotonic time since: a jump of the wall clock moves nothing. It never goes back.
#[derive(Debug)]
pub struct SystemClock {
    /// What the time was when it started, in milliseconds.
    anchor: AtomicI64,
    started: Instant,
    /// The latest time it gave.
    latest: AtomicI64,
}

impl SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is handed"
    )]
    pub fn start() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let anchor = UnixTime::from_millis(0).plus(since).millis();
        Self {
            anchor: AtomicI64::new(anchor),
            started: Instant::now(),
            latest: AtomicI64::new(anchor),
        }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let now = self
            .anchor
            .load(Ordering::Relaxed)
            .saturating_add(self.elapsed());
        let latest = self.latest.fetch_max(now, Ordering::Relaxed);
        UnixTime::from_millis(now.max(latest))
    }

    fn correct(&self, shared: UnixTime) {
        let anchor = shared.millis().saturating_sub(self.elapsed());
        self.anchor.store(anchor, Ordering::Relaxed);
    }
}

/// A clock that stands until it is moved, for tests.
#[derive(Debug)]
pub struct FakeClock(Mutex<UnixTime>);

impl FakeClock {
    pub fn at(now: UnixTime) -> Self {
        Self(Mutex::new(now))
    }

    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("nobody panics while holding a clock");
        *now = now.plus(by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> UnixTime {
        *self.0.lock().expect("nobody panics while holding a clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_by_the_shared_time_and_never_back() {
        let clock = SystemClock::start();
        let hour = Duration::from_secs(3600);
        let ahead = clock.now().plus(hour);
        clock.correct(ahead);
        let now = clock.now();
        assert!(now >= ahead);
        clock.correct(ahead.minus(hour));
        assert!(
            clock.now() >= now,
            "it stands until the shared time has come so far"
        );
    }
}
