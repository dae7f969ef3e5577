//! The bell of the loop: rung where something falls due before the loop looks anyway.
//!
//! Most commits put a job off until long after the next look, and a look costs the store several questions.

use std::sync::atomic::{AtomicI64, Ordering};

use filmgate_core::time::UnixTime;
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Bell {
    rung: Notify,
    /// In unix milliseconds; `i64::MAX` while it looks, for it may have looked past what falls due just then.
    next_look: AtomicI64,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            rung: Notify::new(),
            next_look: AtomicI64::new(i64::MAX),
        }
    }

    /// Something may be due now.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Something falls due at `at`, and the store has it already.
    pub(crate) fn falls_due(&self, at: UnixTime) {
        if at.millis() < self.next_look.load(Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Before the loop asks the store.
    pub(crate) fn looks_now(&self) {
        self.next_look.store(i64::MAX, Ordering::SeqCst);
    }

    /// After it has asked, and before it waits.
    pub(crate) fn looks_at(&self, next: UnixTime) {
        self.next_look.store(next.millis(), Ordering::SeqCst);
    }

    /// Waits until it is rung, or has been since it was heard last. Nothing is lost where this is dropped.
    pub(crate) async fn heard(&self) {
        self.rung.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn it_rings_for_what_falls_due_before_the_next_look_and_for_everything_while_it_looks() {
        let bell = Bell::new();
        let rings = |at| {
            bell.falls_due(UnixTime::from_seconds(at));
            bell.heard().now_or_never().is_some()
        };
        assert!(rings(i64::from(u32::MAX)));
        bell.looks_at(UnixTime::from_seconds(100));
        assert_eq!([99, 100, 101].map(rings), [true, false, false]);
        bell.looks_now();
        assert!(rings(101));
        bell.ring();
        assert!(bell.heard().now_or_never().is_some());
        assert!(bell.heard().now_or_never().is_none());
    }
}
