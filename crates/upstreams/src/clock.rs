//! The clock of an emulator. Tests move it instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use filmgate_core::time::UnixTime;
use tokio::time::Instant;

/// A clock that never goes back. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    anchor: UnixTime,
    /// Absent where the clock stands until it is moved.
    started: Option<Instant>,
    advanced_ms: AtomicU64,
}

impl Clock {
    /// The wall clock at this moment, and monotonic time since.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that an emulator is handed"
    )]
    pub fn system() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::new(UnixTime::from_millis(0).plus(since), Some(Instant::now()))
    }

    /// A clock that stands until it is moved.
    pub fn standing_at(now: UnixTime) -> Self {
        Self::new(now, None)
    }

    fn new(anchor: UnixTime, started: Option<Instant>) -> Self {
        Self(Arc::new(Hands {
            anchor,
            started,
            advanced_ms: AtomicU64::new(0),
        }))
    }

    pub fn now(&self) -> UnixTime {
        let passed = self
            .0
            .started
            .map_or(Duration::ZERO, |started| started.elapsed());
        let advanced = Duration::from_millis(self.0.advanced_ms.load(Ordering::Relaxed));
        self.0.anchor.plus(passed).plus(advanced)
    }

    /// Moves it forward, whether it stands or runs.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // The closure never gives up, so this cannot fail.
        let _ = self
            .0
            .advanced_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |advanced| {
                Some(advanced.saturating_add(by))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_when_it_is_moved() {
        let clock = Clock::standing_at(UnixTime::from_seconds(100));
        let same = clock.clone();
        assert_eq!(clock.now(), UnixTime::from_seconds(100));
        clock.advance(Duration::from_millis(2500));
        assert_eq!(same.now(), UnixTime::from_millis(102_500));
        clock.advance(Duration::MAX);
        assert!(same.now() > UnixTime::from_seconds(1 << 40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_clock_follows_monotonic_time() {
        let clock = Clock::system();
        let begun = clock.now();
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now().since(begun), Duration::from_secs(65));
    }
}
