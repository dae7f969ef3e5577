//! The one clock of a process.
//!
//! Not here: deciding anything by it. Replicas' clocks differ; a commit is safe because of its fence.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use filmgate_core::time::UnixTime;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> UnixTime;
}

/// The wall clock at start, and monotonic time since: a jump of the wall clock moves nothing.
#[derive(Debug)]
pub struct SystemClock {
    anchor: UnixTime,
    started: Instant,
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
        Self {
            anchor: UnixTime::from_millis(0).plus(since),
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        self.anchor.plus(self.started.elapsed())
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
