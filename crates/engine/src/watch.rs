//! The watch primitive: somebody waits until a job's version moves.
//!
//! Signals are hints: a watcher looks at the store before and after waiting, so a lost signal costs a
//! delay and never an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use filmgate_core::id::VideoId;
use tokio::sync::watch;

/// Only jobs that somebody watches have an entry.
#[derive(Debug, Default)]
pub(crate) struct Watch(Arc<Mutex<HashMap<VideoId, watch::Sender<u64>>>>);

#[derive(Debug)]
pub(crate) struct Watcher {
    id: VideoId,
    versions: watch::Receiver<u64>,
    all: Arc<Mutex<HashMap<VideoId, watch::Sender<u64>>>>,
}

impl Watch {
    pub(crate) fn subscribe(&self, id: VideoId) -> Watcher {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = all
            .entry(id)
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        Watcher {
            id,
            versions,
            all: Arc::clone(&self.0),
        }
    }

    /// Tells all who watch `id` that it reached `version`.
    pub(crate) fn moved(&self, id: VideoId, version: u64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(&id) {
            sender.send_replace(version);
        }
    }
}

impl Watcher {
    /// Waits for the next signal after the last one seen.
    pub(crate) async fn moved(&mut self) {
        // The sender lives as long as the entry, and the entry as long as any watcher.
        let _ = self.versions.changed().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            all.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_watcher_hears_of_its_job_and_leaves_nothing_behind() {
        let watch = Watch::default();
        let id = VideoId::from_uuid(Uuid::from_u128(1));
        let (mut first, second) = (watch.subscribe(id), watch.subscribe(id));
        drop(second);
        watch.moved(VideoId::from_uuid(Uuid::from_u128(2)), 9);
        watch.moved(id, 2);
        first.moved().await;
        drop(first);
        assert!(watch.0.lock().unwrap().is_empty());
    }
}
