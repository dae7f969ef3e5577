//! Hearing: what other processes on this database change wakes the watchers and the loop of this one.
//!
//! The store's hints come late, and some are lost. Below them, all watched jobs are looked up together every few
//! seconds, so a lost hint costs a delay and never an answer. Where nobody else can have the database open, the
//! store's channel is closed from the start, and nothing here runs.

use std::collections::HashSet;
use std::time::Duration;

use filmgate_core::id::VideoId;
use filmgate_store::{Heard, StoreError};
use futures::future::BoxFuture;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, sleep_until};

use crate::Parts;
use crate::bell::Bell;
use crate::watch::Watch;

/// Watched jobs are looked up this often, hint or not.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// However often hints are lost, looks are at least this far apart.
const LOOKS_APART: Duration = Duration::from_millis(500);
/// As many jobs are asked for in one question.
const LOOKED_UP_AT_ONCE: usize = 1000;

impl Parts {
    /// Passes on what is heard, until the engine stops or nobody else can be heard.
    pub(crate) async fn hear(&self, heard: Receiver<Heard>) {
        let ears = Ears {
            watch: &self.watch,
            bell: &self.bell,
            look: &|jobs| self.store.versions_of(jobs),
        };
        // A look under way may be dropped: it changes nothing.
        tokio::select! {
            () = ears.listen(heard) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// The store's answer to which versions some jobs have.
type Look<'a> = dyn Fn(Vec<VideoId>) -> BoxFuture<'a, Result<Vec<(VideoId, u64)>, StoreError>>
    + Send
    + Sync
    + 'a;

/// What hearing takes of an engine.
struct Ears<'a> {
    watch: &'a Watch,
    bell: &'a Bell,
    look: &'a Look<'a>,
}

impl Ears<'_> {
    async fn listen(&self, mut heard: Receiver<Heard>) {
        let mut looked_at = Instant::now();
        let mut next_look = looked_at + LOOK_AT_LEAST_EVERY;
        loop {
            tokio::select! {
                hint = heard.recv() => match hint {
                    Ok(Heard::Changed { jobs, due }) => {
                        for id in jobs {
                            self.watch.touched(id);
                        }
                        if due {
                            self.bell.ring();
                        }
                    }
                    Ok(Heard::Anything) | Err(RecvError::Lagged(_)) => {
                        self.bell.ring();
                        next_look = next_look.min(looked_at + LOOKS_APART);
                    }
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(next_look) => {
                    if let Err(error) = self.look_at_all().await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "watched jobs cannot be looked up; whoever follows them waits for the next look");
                    }
                    looked_at = Instant::now();
                    next_look = looked_at + LOOK_AT_LEAST_EVERY;
                }
            }
        }
    }

    /// Wakes the watchers of every job that moved without being announced here, or is gone.
    async fn look_at_all(&self) -> Result<(), StoreError> {
        for jobs in self.watch.all().chunks(LOOKED_UP_AT_ONCE) {
            let mut missing: HashSet<VideoId> = jobs.iter().copied().collect();
            for (id, version) in (self.look)(jobs.to_vec()).await? {
                missing.remove(&id);
                self.watch.moved(id, version);
            }
            for id in missing {
                self.watch.gone(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    use futures::FutureExt;
    use tokio::sync::broadcast::{self, Sender};
    use uuid::Uuid;

    /// A store that others write to, as far as hearing sees of it.
    #[derive(Default)]
    struct Elsewhere {
        versions: Mutex<HashMap<VideoId, u64>>,
        questions: Mutex<Vec<usize>>,
        fails: Mutex<bool>,
    }

    impl Elsewhere {
        fn set(&self, id: VideoId, version: u64) {
            self.versions.lock().unwrap().insert(id, version);
        }

        fn answer(&self, jobs: &[VideoId]) -> Result<Vec<(VideoId, u64)>, StoreError> {
            self.questions.lock().unwrap().push(jobs.len());
            if *self.fails.lock().unwrap() {
                return Err(StoreError::Busy);
            }
            let versions = self.versions.lock().unwrap();
            Ok(jobs
                .iter()
                .filter_map(|id| Some((*id, *versions.get(id)?)))
                .collect())
        }

        /// How many jobs each question so far was about.
        fn questions(&self) -> Vec<usize> {
            std::mem::take(
                &mut self
                    .questions
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            )
        }
    }

    /// Runs `story` beside an engine's ears.
    async fn beside(
        watch: &Watch,
        bell: &Bell,
        elsewhere: &Elsewhere,
        capacity: usize,
        story: impl AsyncFnOnce(Sender<Heard>),
    ) {
        let (hints, heard) = broadcast::channel(capacity);
        let ears = Ears {
            watch,
            bell,
            look: &|jobs| std::future::ready(elsewhere.answer(&jobs)).boxed(),
        };
        // When the story is over, nobody hints any more, and the ears close.
        tokio::join!(ears.listen(heard), story(hints));
    }

    fn id(number: u128) -> VideoId {
        VideoId::from_uuid(Uuid::from_u128(number))
    }

    /// Lets everything happen that happens within so many milliseconds.
    async fn pass(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_wakes_who_watches_that_job_and_rings_for_work() {
        let (watch, bell, elsewhere) = (Watch::default(), Bell::new(), Elsewhere::default());
        beside(&watch, &bell, &elsewhere, 8, async |hints| {
            let (mut first, mut second) = (watch.subscribe(id(1)), watch.subscribe(id(2)));
            let changed = |jobs, due| Heard::Changed { jobs, due };
            hints.send(changed(vec![id(1), id(9)], false)).unwrap();
            first.moved().await;
            assert!(second.moved().now_or_never().is_none());
            assert!(bell.heard().now_or_never().is_none());
            hints.send(changed(vec![], true)).unwrap();
            bell.heard().await;
            assert_eq!(
                elsewhere.questions(),
                [] as [usize; 0],
                "a hint asks nothing"
            );
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_hint_costs_a_look_and_wakes_only_what_moved_or_is_gone() {
        let (watch, bell, elsewhere) = (Watch::default(), Bell::new(), Elsewhere::default());
        beside(&watch, &bell, &elsewhere, 8, async |_hints| {
            let mut watchers: Vec<_> = (1..=3).map(|number| watch.subscribe(id(number))).collect();
            for watcher in &mut watchers {
                watcher.saw(4);
            }
            elsewhere.set(id(1), 4);
            elsewhere.set(id(2), 5);
            // The third was deleted.
            pass(4_999).await;
            assert_eq!(elsewhere.questions(), [] as [usize; 0]);
            pass(1).await;
            assert_eq!(elsewhere.questions(), [3]);
            let woken: Vec<bool> = watchers
                .iter_mut()
                .map(|watcher| watcher.moved().now_or_never().is_some())
                .collect();
            assert_eq!(woken, [false, true, true]);
            pass(5_000).await;
            assert_eq!(elsewhere.questions(), [2], "what is gone is not asked for");
            drop(watchers);
            pass(5_000).await;
            assert_eq!(elsewhere.questions(), [] as [usize; 0], "nobody watches");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_hints_were_lost_all_are_looked_up_at_once_but_not_all_the_time() {
        let (watch, bell, elsewhere) = (Watch::default(), Bell::new(), Elsewhere::default());
        beside(&watch, &bell, &elsewhere, 8, async |hints| {
            let mut watcher = watch.subscribe(id(1));
            elsewhere.set(id(1), 2);
            pass(500).await;
            hints.send(Heard::Anything).unwrap();
            watcher.moved().await;
            bell.heard().await;
            assert_eq!(elsewhere.questions(), [1]);
            for _ in 0..4 {
                hints.send(Heard::Anything).unwrap();
                pass(100).await;
            }
            assert_eq!(elsewhere.questions(), [] as [usize; 0]);
            pass(100).await;
            assert_eq!(elsewhere.questions(), [1], "four losses, one look");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_keep_up_with_the_hints_looks_himself() {
        let (watch, bell, elsewhere) = (Watch::default(), Bell::new(), Elsewhere::default());
        beside(&watch, &bell, &elsewhere, 2, async |hints| {
            let mut watcher = watch.subscribe(id(1));
            elsewhere.set(id(1), 2);
            for number in 10..20 {
                let jobs = vec![id(number)];
                hints.send(Heard::Changed { jobs, due: false }).unwrap();
            }
            bell.heard().await;
            pass(500).await;
            watcher.moved().await;
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_looked_up_in_portions_and_a_store_that_fails_is_asked_again() {
        let (watch, bell, elsewhere) = (Watch::default(), Bell::new(), Elsewhere::default());
        beside(&watch, &bell, &elsewhere, 8, async |_hints| {
            let mut watchers: Vec<_> = (0..2_500)
                .map(|number| watch.subscribe(id(number)))
                .collect();
            for (number, watcher) in (0..).zip(&mut watchers) {
                elsewhere.set(id(number), 1);
                watcher.saw(1);
            }
            elsewhere.set(id(77), 2);
            *elsewhere.fails.lock().unwrap() = true;
            pass(5_000).await;
            assert_eq!(
                elsewhere.questions(),
                [1000],
                "the rest waits for the next look"
            );
            assert!(watchers[77].moved().now_or_never().is_none());
            *elsewhere.fails.lock().unwrap() = false;
            pass(5_000).await;
            assert_eq!(elsewhere.questions(), [1000, 1000, 500]);
            let woken = watchers
                .iter_mut()
                .filter_map(|watcher| watcher.moved().now_or_never());
            assert_eq!(woken.count(), 1);
        })
        .await;
    }
}
