//! Applying an event and committing what comes of it, again and again until one of three ends is reached.

use std::sync::Arc;
use std::time::Duration;

use filmgate_core::action::Action;
use filmgate_core::id::VideoId;
use filmgate_core::job::{self, Event, Job, Rejected, State, Status, Transition};
use filmgate_store::{AfterCommit, Basis, Committed, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Parts;

/// The pause before a store that failed is asked to commit once more.
const COMMIT_AGAIN: Duration = Duration::from_millis(500);

/// A job under a lease of ours.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) job: Job,
    fence: u64,
    /// Whoever renews the lease has it, and whoever commits. A renewal beside a commit that ends the lease would take
    /// that for a loss, and break off the work just before it tells of what it committed.
    turn: Arc<Mutex<()>>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// Committed; `Held::job` is the new state.
    Taken,
    /// The job does not take it (any more): the lease is given back.
    Rejected,
    /// Somebody else has the job.
    Lost,
}

impl Held {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            fence: job.fence,
            job,
            turn: Arc::default(),
        }
    }

    pub(crate) fn id(&self) -> VideoId {
        self.job.admission.id
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    pub(crate) fn turn(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.turn)
    }
}

impl Parts {
    /// Applies `event` under our lease. If only the version moved meanwhile, it is applied to what is there
    /// now.
    pub(crate) async fn step(
        &self,
        held: &mut Held,
        event: Event,
        after: AfterCommit,
    ) -> Result<Stepped, StoreError> {
        let turn = held.turn();
        let _turn = turn.lock().await;
        loop {
            let transition = match job::apply(&held.job, event.clone(), self.clock.now()) {
                Ok(transition) => transition,
                Err(rejected) => {
                    tracing::debug!(video.id = %held.id(), %rejected, "an event came too late");
                    self.store.give_back(held.id(), held.fence).await?;
                    self.bell.ring();
                    return Ok(Stepped::Rejected);
                }
            };
            let life = transition.life.clone();
            // Nobody claims a job at which nothing is left to do, so nobody would ever end its lease.
            let after = if life.due_at.is_some() {
                after
            } else {
                AfterCommit::EndLease
            };
            let basis = Basis::Claim {
                fence: held.fence,
                version: held.job.version,
                after,
            };
            match self.insist(held.id(), basis, transition).await? {
                Committed::Committed { version } => {
                    let before = held.job.life.status();
                    held.job.life = life;
                    held.job.version = version;
                    self.committed(&held.job, &event, before);
                    return Ok(Stepped::Taken);
                }
                Committed::Stale(now) => held.job = *now,
                Committed::Lost => {
                    tracing::warn!(video.id = %held.id(), event = event.name(), "another worker has the job");
                    return Ok(Stepped::Lost);
                }
            }
        }
    }

    /// Commits what came of work; while the store fails, again and again for as long as any lease lasts. What a provider
    /// answered is known nowhere else, and may have been paid for.
    ///
    /// Where only the answer to a commit was lost, the next one finds the version moved to just what it wanted: nobody
    /// else commits under our fence.
    async fn insist(
        &self,
        id: VideoId,
        basis: Basis,
        transition: Transition,
    ) -> Result<Committed, StoreError> {
        let give_up = Instant::now() + self.config.submit_lease();
        let mut answer_lost = false;
        loop {
            let error = match self.store.commit(id, basis, transition.clone()).await {
                Err(error @ (StoreError::Database(_) | StoreError::Busy)) => error,
                Ok(Committed::Stale(now))
                    if answer_lost && is_what_came(basis, &transition, &now) =>
                {
                    let version = now.version;
                    return Ok(Committed::Committed { version });
                }
                ended => return ended,
            };
            answer_lost = true;
            if Instant::now() >= give_up || self.stop.is_cancelled() {
                return Err(error);
            }
            tracing::warn!(video.id = %id, error = &error as &dyn std::error::Error, "what became of video {id} cannot be stored now");
            tokio::select! {
                () = tokio::time::sleep(COMMIT_AGAIN) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Applies `event` for a client: no lease is needed, and leases stay as they are.
    pub(crate) async fn change(
        &self,
        job: Job,
        event: Event,
    ) -> Result<Result<Job, (Job, Rejected)>, StoreError> {
        self.change_by(job, event, None).await
    }

    /// As [`Parts::change`], with its line in the operators' log.
    pub(crate) async fn change_by(
        &self,
        mut job: Job,
        event: Event,
        action: Option<Action>,
    ) -> Result<Result<Job, (Job, Rejected)>, StoreError> {
        loop {
            let mut transition = match job::apply(&job, event.clone(), self.clock.now()) {
                Ok(transition) => transition,
                Err(rejected) => return Ok(Err((job, rejected))),
            };
            transition.action.clone_from(&action);
            let life = transition.life.clone();
            let id = job.admission.id;
            match self
                .store
                .commit(
                    id,
                    Basis::Seen {
                        version: job.version,
                    },
                    transition,
                )
                .await?
            {
                Committed::Committed { version } => {
                    let before = job.life.status();
                    job.life = life;
                    job.version = version;
                    self.committed(&job, &event, before);
                    return Ok(Ok(job));
                }
                Committed::Stale(now) => job = *now,
                Committed::Lost => unreachable!("a commit without a claim has no fence to lose"),
            }
        }
    }

    fn committed(&self, job: &Job, event: &Event, before: Status) {
        let id = job.admission.id;
        tracing::debug!(video.id = %id, event = event.name(), state = job.life.state.name(), version = job.version, "committed");
        if job.life.status().is_terminal() && !before.is_terminal() {
            tracing::info!(video.id = %id, status = job.life.status().as_str(), "video {id} is {}", job.life.status().as_str());
        }
        self.watch.moved(id, job.version);
        if let Some(due_at) = job.life.due_at {
            self.bell.falls_due(due_at);
        }
        // Another job may wait for the place this one had at its provider.
        let has_place = matches!(
            job.life.state,
            State::Submitting { .. } | State::Running { .. }
        );
        if !self.places.is_empty() && !has_place {
            self.bell.ring();
        }
    }
}

/// Whether the job stands as a commit of `transition` on `basis` left it, and nobody has committed since.
fn is_what_came(basis: Basis, transition: &Transition, now: &Job) -> bool {
    let (Basis::Claim { version, .. } | Basis::Seen { version }) = basis;
    now.version == version + 1 && now.life == transition.life
}
