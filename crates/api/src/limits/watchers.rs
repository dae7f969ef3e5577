//! Live watchers per key: how many event streams and sockets it may hold open at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filmgate_core::id::KeyId;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

#[derive(Debug)]
pub(crate) struct Watchers {
    /// Of one key at once; 0 for any number.
    most: u32,
    by_key: Arc<Mutex<HashMap<KeyId, u32>>>,
    /// Nothing runs on it: it tells when the last place was given up.
    taken: TaskTracker,
}

/// A live watcher's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    key: KeyId,
    by_key: Arc<Mutex<HashMap<KeyId, u32>>>,
    _taken: TaskTrackerToken,
}

impl Watchers {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            by_key: Arc::default(),
            taken: TaskTracker::new(),
        }
    }

    /// `None` where the key has as many as it may.
    pub(crate) fn take(&self, key: KeyId) -> Option<Place> {
        let mut by_key = lock(&self.by_key);
        let count = by_key.entry(key).or_default();
        if self.most > 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            key,
            by_key: Arc::clone(&self.by_key),
            _taken: self.taken.token(),
        })
    }

    /// Waits until nobody has a place.
    pub(crate) async fn left(&self) {
        self.taken.close();
        self.taken.wait().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_key = lock(&self.by_key);
        if let Some(count) = by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_key.remove(&self.key);
            }
        }
    }
}

fn lock(by_key: &Mutex<HashMap<KeyId, u32>>) -> MutexGuard<'_, HashMap<KeyId, u32>> {
    by_key.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn key(number: u32) -> KeyId {
        format!("key_{number:0>26}").parse().unwrap()
    }

    #[test]
    fn a_key_has_as_many_places_as_it_may_and_no_other_key_less_for_it() {
        let watchers = Watchers::new(2);
        let first = watchers.take(key(1)).unwrap();
        let _second = watchers.take(key(1)).unwrap();
        assert!(watchers.take(key(1)).is_none());
        assert!(watchers.take(key(2)).is_some());
        drop(first);
        assert!(watchers.take(key(1)).is_some());
        assert_eq!(lock(&watchers.by_key).len(), 1, "who left is forgotten");
    }

    #[test]
    fn where_there_is_no_limit_there_is_always_a_place() {
        let watchers = Watchers::new(0);
        let places: Vec<_> = (0..1_000).map(|_| watchers.take(key(1))).collect();
        assert!(places.iter().all(Option::is_some));
    }

    #[test]
    fn the_last_to_leave_is_noticed() {
        let watchers = Watchers::new(2);
        let place = watchers.take(key(1));
        assert!(watchers.left().now_or_never().is_none());
        drop(place);
        assert!(watchers.left().now_or_never().is_some());
    }
}
