//! Answers that name a job: whether the client that made it was told.
//!
//! An answer that was lost is noted at once, because the client may ask again in the next moment. One that was given
//! is noted together with others a little later: most clients name the job before that, and then it no longer
//! matters. A crash in between leaves it open, and the next start counts open answers as lost.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::id::VideoId;
use filmgate_core::repeat::Answer;

use crate::Parts;

const NOTED_AFTER: Duration = Duration::from_secs(1);
/// As many are noted in one write.
const NOTED_AT_ONCE: usize = 256;

/// Given, and not noted yet.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<HashSet<VideoId>>);

/// An answer on its way: lost if it is dropped before somebody says it was given.
pub struct OpenAnswer {
    video: VideoId,
    /// `None` once it was given.
    parts: Option<Arc<Parts>>,
}

impl std::fmt::Debug for OpenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenAnswer({})", self.video)
    }
}

impl OpenAnswer {
    pub(crate) fn new(parts: &Arc<Parts>, video: VideoId) -> Self {
        Self {
            video,
            parts: Some(Arc::clone(parts)),
        }
    }

    /// The answer was written to its end.
    pub fn given(mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        let first = {
            let mut given = parts.given.lock();
            given.insert(self.video);
            given.len() == 1
        };
        if first {
            let noting = Arc::clone(&parts);
            parts.tasks.spawn(async move { noting.note_given().await });
        }
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        let video = self.video;
        parts.given.lock().remove(&video);
        // Without a runtime the process is ending, and its next start knows what became of the answer.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let noting = Arc::clone(&parts);
        parts.tasks.spawn_on(
            async move { noting.note(vec![video], Answer::Lost).await },
            &runtime,
        );
    }
}

impl Given {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<VideoId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    async fn note_given(&self) {
        tokio::select! {
            () = tokio::time::sleep(NOTED_AFTER) => {}
            () = self.stop.cancelled() => {}
        }
        let given: Vec<VideoId> = mem::take(&mut *self.given.lock()).into_iter().collect();
        for some in given.chunks(NOTED_AT_ONCE) {
            self.note(some.to_vec(), Answer::Given).await;
        }
    }

    async fn note(&self, videos: Vec<VideoId>, answer: Answer) {
        if answer == Answer::Lost {
            for video in &videos {
                tracing::info!(video.id = %video, "the answer that named video {video} did not reach its client");
            }
        }
        if let Err(error) = self.store.note_answers(videos, answer).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what became of an answer cannot be noted"
            );
        }
    }
}
