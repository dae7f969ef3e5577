//! The loop: claims due jobs and works on each, bounded, until told to stop.
//!
//! It looks when rung, when the next job falls due, and every few seconds in any case: a lost signal
//! costs a delay, never a job.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filmgate_core::job::{Event, State};
use filmgate_store::{AfterCommit, Claim, Intake, StoreError};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::commit::Held;
use crate::{Engine, Parts};

/// The store is looked at this often, signal or not.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Looks are at least this far apart: what falls due in between is claimed together.
const LOOKS_APART: Duration = Duration::from_millis(10);
/// A full house looks sooner, once one in so many of its places is free.
const A_GOOD_PART: u32 = 8;
/// The pause after the store failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

struct Turning(Arc<Parts>);

impl Drop for Turning {
    fn drop(&mut self) {
        self.0.turning.store(false, Ordering::Relaxed);
    }
}

impl Engine {
    /// Starts the loop, and listens to what other processes on this database do.
    pub fn start(&self) {
        let parts = Arc::clone(&self.0);
        parts.turning.store(true, Ordering::Relaxed);
        self.0.tasks.spawn(async move {
            // However the loop ends, nobody is told that it still turns.
            let _turning = Turning(Arc::clone(&parts));
            tokio::select! {
                () = parts.stop.cancelled() => {}
                () = parts.recall() => {}
            }
            parts.drive().await;
        });
        let parts = Arc::clone(&self.0);
        self.0.tasks.spawn(async move { parts.keep_house().await });
        let parts = Arc::clone(&self.0);
        let heard = parts.store.listen();
        self.0.tasks.spawn(async move { parts.hear(heard).await });
    }

    /// Claims everything that is due now and brings each through one stage. Answers how many there were.
    ///
    /// The loop does the same for ever; this is for tests and for tools that want one step.
    pub async fn run_due(&self) -> Result<usize, StoreError> {
        let parts = &self.0;
        let intake = parts.intake(parts.config.workers);
        let claims = parts.store.claim_due(&intake).await?;
        let count = claims.len();
        let done =
            futures::future::join_all(claims.into_iter().map(|claim| parts.work(claim))).await;
        done.into_iter().collect::<Result<(), _>>().map(|()| count)
    }

    /// Stops claiming, lets submits under way come to their end, gives every other claim back.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Parts {
    async fn drive(self: Arc<Self>) {
        let places = Arc::new(Semaphore::new(self.config.workers as usize));
        let mut looked_at = Instant::now();
        while !self.stop.is_cancelled() {
            self.bell.looks_now();
            let pause = match self.run_once(&places, &mut looked_at).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "due work cannot be claimed"
                    );
                    PAUSE_AFTER_FAILURE
                }
            };
            self.bell.looks_at(self.clock.now().plus(pause));
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.bell.heard() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Claims what is due, as far as there are places, and starts on it. Answers how long to wait.
    async fn run_once(
        self: &Arc<Self>,
        places: &Arc<Semaphore>,
        looked_at: &mut Instant,
    ) -> Result<Duration, StoreError> {
        // More was due than fitted.
        let mut full = false;
        loop {
            // At least one place, so that a full house does not spin.
            let Ok(first) = Arc::clone(places).acquire_owned().await else {
                return Ok(LOOK_AT_LEAST_EVERY);
            };
            let next_look = *looked_at + LOOKS_APART;
            if full {
                // Whoever has waited for a good part of the places waits no longer.
                let part = places.acquire_many(self.config.workers / A_GOOD_PART);
                let _ = tokio::time::timeout_at(next_look, part).await;
            } else {
                tokio::time::sleep_until(next_look).await;
            }
            *looked_at = Instant::now();
            let mut free = vec![first];
            while let Ok(place) = Arc::clone(places).try_acquire_owned() {
                free.push(place);
            }
            if self.stop.is_cancelled() {
                return Ok(Duration::ZERO);
            }
            let intake = self.intake(u32::try_from(free.len()).unwrap_or(u32::MAX));
            let now = intake.now;
            let claims = self.store.claim_due(&intake).await?;
            let all = claims.len() == free.len();
            for (claim, place) in claims.into_iter().zip(free) {
                self.begin(claim, place);
            }
            full = all;
            if !full {
                let due = self.store.next_due(now, &self.places).await?;
                return Ok(due
                    .map_or(LOOK_AT_LEAST_EVERY, |due| due.since(now))
                    .min(LOOK_AT_LEAST_EVERY));
            }
        }
    }

    fn begin(self: &Arc<Self>, claim: Claim, place: OwnedSemaphorePermit) {
        let parts = Arc::clone(self);
        self.tasks.spawn(async move {
            let id = claim.job.admission.id;
            if let Err(error) = parts.work(claim).await {
                // The lease runs out, and the job is taken up again.
                tracing::error!(video.id = %id, error = &error as &dyn std::error::Error, "work on video {id} broke off");
            }
            drop(place);
        });
    }

    fn intake(&self, limit: u32) -> Intake {
        Intake {
            by: self.worker.clone(),
            now: self.clock.now(),
            lease: self.config.lease(),
            submit_lease: self.config.submit_lease(),
            limit,
            places: Arc::clone(&self.places),
        }
    }

    async fn work(&self, claim: Claim) -> Result<(), StoreError> {
        if claim.parked {
            return self.write_off(claim.job).await;
        }
        if claim.strikes >= self.config.park_after {
            return self.park(claim).await;
        }
        let mut held = Held::new(claim.job);
        let (id, fence, turn) = (held.id(), held.fence(), held.turn());
        let submitting = matches!(
            held.job.life.state,
            State::Accepted | State::Submitting { .. }
        );
        let lease = if submitting {
            self.config.submit_lease()
        } else {
            self.config.lease()
        };
        tokio::select! {
            done = self.stage(&mut held) => return done,
            lost = self.keep_lease(id, fence, lease, &turn) => {
                lost?;
                tracing::warn!(video.id = %id, "the lease on video {id} was lost");
                return Ok(());
            }
            // A submit under way is let finish: dropping it would leave its answer unknown.
            () = self.stop.cancelled(), if !submitting => {}
        }
        self.store.give_back(id, fence).await
    }

    /// Renews the lease for as long as the work takes. Returns when it is lost, or has run out while the store failed.
    async fn keep_lease(
        &self,
        id: filmgate_core::id::VideoId,
        fence: u64,
        lease: Duration,
        turn: &Mutex<()>,
    ) -> Result<(), StoreError> {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(lease / 3).await;
            let _turn = turn.lock().await;
            let asked = Instant::now();
            let until = self.clock.now().plus(lease);
            match self.store.renew(id, fence, until).await {
                Ok(true) => renewed = asked,
                Ok(false) => return Ok(()),
                // Until it has run out nobody else takes the job, and the work may still come to its end.
                Err(error) if renewed.elapsed() < lease => {
                    tracing::warn!(video.id = %id, error = &error as &dyn std::error::Error, "the lease on video {id} cannot be renewed now");
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[tracing::instrument(name = "engine.stage", skip_all, fields(video.id = %held.id(), state = held.job.life.state.name()))]
    async fn stage(&self, held: &mut Held) -> Result<(), StoreError> {
        let life = &held.job.life;
        let late = self.clock.now() >= held.job.admission.expires_at();
        match &life.state {
            State::Accepted | State::Submitting { .. } | State::Running { .. } if late => {
                self.step(held, Event::Expire, AfterCommit::EndLease)
                    .await?;
                Ok(())
            }
            State::Accepted => self.submit(held).await,
            State::Submitting { .. } => self.trace_submit(held).await,
            State::Running { .. } => self.poll(held).await,
            State::Fetching { links, .. } if links.stale => self.poll(held).await,
            State::Fetching { .. } => self.ingest(held, None).await,
            State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => {
                if life.fate.is_some() {
                    self.abandon(held).await
                } else if life.due_at.is_some() {
                    self.retire(held).await
                } else {
                    self.store.give_back(held.id(), held.fence()).await
                }
            }
        }
    }
}
