//! Parked jobs: those whose workers died again and again. They wait for an operator, or for the end of their time.
//!
//! Not here: counting those deaths, which is the store's, because nobody else survives them.

use std::time::Duration;

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Event, Job, State};
use filmgate_core::time::UnixTime;
use filmgate_store::{AfterCommit, Claim, Page, ParkedJob, StoreError};

use crate::commit::Held;
use crate::operator::Operator;
use crate::{Engine, Parts};

/// Bytes whose removal kills whoever tries are kept for so long before only their row is changed.
const BYTES_KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    #[error("no such job is parked")]
    NotParked,
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Oldest first, from behind the job `after`.
    pub async fn parked(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ParkedJob>, StoreError> {
        self.0.store.parked(workspace, after, limit).await
    }

    /// The first instant at which a job can be claimed: one that is past is a job nobody has taken up yet.
    pub async fn next_due(&self) -> Result<Option<UnixTime>, StoreError> {
        self.0.store.next_due(self.now(), &self.0.places).await
    }

    /// Gives the job back to work. Answers what it was parked for.
    pub async fn unpark(&self, id: VideoId, by: &Operator) -> Result<ParkedJob, ParkedError> {
        let parked = self.find_parked(id).await?;
        let action = self.parked_action(ActionKind::JobUnparked, &parked, by);
        let unparked = self.0.store.unpark(id, self.now(), action).await?;
        self.0.bell.ring();
        unparked.ok_or(ParkedError::NotParked)
    }

    /// Ends the job without asking its provider anything: its hold is released. Answers what it was parked for, with
    /// the status it has come to.
    pub async fn end_parked(&self, id: VideoId, by: &Operator) -> Result<ParkedJob, ParkedError> {
        let parked = self.find_parked(id).await?;
        let job = self.0.store.load_job(id).await?;
        let job = job.ok_or(ParkedError::NotParked)?;
        let event = if has_ended(&job) {
            Event::BytesExpired
        } else {
            Event::WrittenOff {
                by: by.caller.map(|caller| caller.key),
            }
        };
        let action = self.parked_action(ActionKind::JobEnded, &parked, by);
        match self.0.change_by(job, event, Some(action)).await? {
            Ok(job) => Ok(ParkedJob {
                status: job.life.status(),
                ..parked
            }),
            // Whatever was left to do was done meanwhile.
            Err(_) => Err(ParkedError::NotParked),
        }
    }

    fn parked_action(&self, kind: ActionKind, parked: &ParkedJob, by: &Operator) -> Action {
        let detail = serde_json::json!({ "reason": parked.reason });
        self.deed(by, kind, parked.workspace, parked.job.to_string(), detail)
            .action
    }

    async fn find_parked(&self, id: VideoId) -> Result<ParkedJob, ParkedError> {
        let parked = self.0.store.find_parked(id).await?;
        parked.ok_or(ParkedError::NotParked)
    }
}

impl Parts {
    /// Takes the job out of everybody's work, where its workers died too often.
    pub(crate) async fn park(&self, claim: Claim) -> Result<(), StoreError> {
        let Claim { job, strikes, .. } = claim;
        let id = job.admission.id;
        let now = self.clock.now();
        let often = match strikes {
            1 => "once".to_owned(),
            times => format!("{times} times in a row"),
        };
        let reason = format!(
            "whoever worked on it died {often}, while it was {}",
            job.life.state.name()
        );
        tracing::error!(video.id = %id, strikes, "video {id} is parked: {reason}");
        let until = time_is_over(&job, now);
        self.store
            .park(id, job.fence, &reason, until, now)
            .await
            .map(|_| ())
    }

    /// Ends a parked job whose time is over.
    pub(crate) async fn write_off(&self, job: Job) -> Result<(), StoreError> {
        let event = if has_ended(&job) {
            Event::BytesExpired
        } else {
            Event::WrittenOff { by: None }
        };
        self.step(&mut Held::new(job), event, AfterCommit::EndLease)
            .await
            .map(|_| ())
    }
}

/// Whether nothing but stored bytes is left to be dealt with.
fn has_ended(job: &Job) -> bool {
    job.life.status().is_terminal() && job.life.fate.is_none()
}

/// Until when a job may take, were it not parked.
fn time_is_over(job: &Job, now: UnixTime) -> UnixTime {
    let deadline = match (&job.life.state, job.life.fate) {
        (State::Fetching { deadline, .. }, _) => *deadline,
        (_, Some(fate)) => fate.deadline,
        (State::Accepted | State::Submitting { .. } | State::Running { .. }, None) => {
            job.admission.expires_at()
        }
        (
            State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. },
            None,
        ) => now.plus(BYTES_KEPT),
    };
    deadline.max(now)
}
