//! The watch primitive: somebody waits until a job's version moves.
//!
//! Signals are hints: a watcher looks at the store before and after waiting, so a lost signal costs a
//! delay and never an answer. What others on the same database change is heard by `hear`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filmgate_core::id::VideoId;
use tokio::sync::watch;

use crate::Engine;

/// Above every version: the job was deleted.
const GONE: u64 = u64::MAX;

/// Only jobs that somebody watches have an entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<HashMap<VideoId, Watched>>>);

#[derive(Debug)]
struct Watched {
    /// The highest version that was announced here, or that a watcher said it saw. 0: not known yet.
    version: watch::Sender<u64>,
    watchers: usize,
}

/// Waits for changes of one job. Cheap: an idle one takes no timer, no task and no look at the store.
#[derive(Debug)]
pub struct Watcher {
    id: VideoId,
    versions: watch::Receiver<u64>,
    watch: Watch,
}

impl Engine {
    /// Watches `id` from now on. Whoever looks at the store after this call misses no change that comes later.
    pub fn watch(&self, id: VideoId) -> Watcher {
        self.0.watch.subscribe(id)
    }
}

impl Watch {
    pub(crate) fn subscribe(&self, id: VideoId) -> Watcher {
        let mut all = self.lock();
        let watched = all.entry(id).or_insert_with(|| Watched {
            version: watch::Sender::new(0),
            watchers: 0,
        });
        watched.watchers += 1;
        Watcher {
            id,
            versions: watched.version.subscribe(),
            watch: self.clone(),
        }
    }

    /// Tells all who watch `id` that it reached `version`, unless they know.
    pub(crate) fn moved(&self, id: VideoId, version: u64) {
        if let Some(watched) = self.lock().get(&id) {
            watched.version.send_if_modified(|known| {
                let news = version > *known;
                *known = version.max(*known);
                news
            });
        }
    }

    /// Tells all who watch `id` that it was deleted.
    pub(crate) fn gone(&self, id: VideoId) {
        self.moved(id, GONE);
    }

    /// Has all who watch `id` look again, whatever they know.
    pub(crate) fn touched(&self, id: VideoId) {
        if let Some(watched) = self.lock().get(&id) {
            watched.version.send_modify(|_| {});
        }
    }

    /// What is watched, and not known to be gone.
    pub(crate) fn all(&self) -> Vec<VideoId> {
        self.lock()
            .iter()
            .filter(|(_, watched)| *watched.version.borrow() != GONE)
            .map(|(id, _)| *id)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VideoId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Waits for the next signal after the last one heard. May be dropped half-way: nothing is lost.
    pub async fn moved(&mut self) {
        // The sender lives as long as the entry, and the entry as long as any watcher.
        let _ = self.versions.changed().await;
    }

    /// Says which version this watcher found in the store, so that no look on behalf of all tells it again. Others who
    /// have not heard of it are woken: whoever announces it later would find that it is known.
    pub fn saw(&mut self, version: u64) {
        let all = self.watch.lock();
        let Some(watched) = all.get(&self.id) else {
            return;
        };
        let heard_all = !self.versions.has_changed().unwrap_or(true);
        let news = watched.version.send_if_modified(|known| {
            let news = version > *known;
            *known = version.max(*known);
            news
        });
        if news && heard_all {
            self.versions.mark_unchanged();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut all = self.watch.lock();
        if let Some(watched) = all.get_mut(&self.id) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                all.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use uuid::Uuid;

    fn id(number: u128) -> VideoId {
        VideoId::from_uuid(Uuid::from_u128(number))
    }

    fn woken(watcher: &mut Watcher) -> bool {
        watcher.moved().now_or_never().is_some()
    }

    #[test]
    fn a_watcher_hears_of_its_job_and_leaves_nothing_behind() {
        let watch = Watch::default();
        let (mut first, mut second) = (watch.subscribe(id(1)), watch.subscribe(id(1)));
        assert_eq!(watch.all(), [id(1)]);
        watch.moved(id(2), 9);
        assert!(!woken(&mut first));
        watch.moved(id(1), 2);
        assert!(woken(&mut first) && woken(&mut second));
        assert!(!woken(&mut first), "one change wakes once");
        drop(first);
        assert_eq!(watch.all(), [id(1)]);
        drop(second);
        assert!(watch.lock().is_empty());
    }

    #[test]
    fn what_is_known_wakes_nobody() {
        let watch = Watch::default();
        let mut watcher = watch.subscribe(id(1));
        watcher.saw(4);
        assert!(!woken(&mut watcher));
        // A look that was slow tells what was so before.
        for version in [3, 4] {
            watch.moved(id(1), version);
            assert!(!woken(&mut watcher), "{version}");
        }
        watch.moved(id(1), 5);
        assert!(woken(&mut watcher));
        watch.touched(id(1));
        assert!(woken(&mut watcher), "a hint without a version always wakes");
    }

    #[test]
    fn who_sees_a_change_before_it_is_announced_keeps_it_from_nobody() {
        let watch = Watch::default();
        let mut waiting = watch.subscribe(id(1));
        waiting.saw(4);
        // Version 5 is committed and not announced yet when somebody else comes and looks.
        let mut newcomer = watch.subscribe(id(1));
        newcomer.saw(5);
        watch.moved(id(1), 5);
        assert!(woken(&mut waiting));
        assert!(!woken(&mut newcomer), "that is what it saw");
    }

    #[test]
    fn a_deleted_job_is_told_once_and_not_looked_for_any_more() {
        let watch = Watch::default();
        let mut watcher = watch.subscribe(id(1));
        watcher.saw(4);
        watch.gone(id(1));
        assert!(woken(&mut watcher));
        watch.gone(id(1));
        assert!(!woken(&mut watcher));
        assert!(watch.all().is_empty());
    }
}
