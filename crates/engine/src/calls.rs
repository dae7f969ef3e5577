//! What clients ask of jobs that exist: find, wait, list, cancel, delete, retry.
//!
//! Everything is answered from the store; no call here reaches a provider.

use std::time::Duration;

use filmgate_core::id::{KeyId, VideoId, WorkspaceId};
use filmgate_core::job::{Event, Job, Status};
use filmgate_store::{Found, ListJobs, Page, StoreError};

use crate::admission::{AdmitError, Admitted, Ask, Caller, Given, Provenance};
use crate::{Engine, upstream};

/// Until what a caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Terminal,
    /// Any version but this.
    ChangedFrom(u64),
}

#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    #[error("there is no such video")]
    NotFound,
    #[error("the video was deleted")]
    Deleted,
    #[error("a video that is {} cannot be cancelled", .0.as_str())]
    Terminal(Status),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("there is no such video")]
    NotFound,
    #[error("the video was deleted")]
    Deleted,
    #[error("a video that is {} cannot be deleted; cancel it first", .0.as_str())]
    NotTerminal(Status),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    #[error("there is no such video")]
    NotFound,
    #[error("the video was deleted")]
    Deleted,
    #[error("a video that is {} cannot be tried again; failed, expired and cancelled ones can", .0.as_str())]
    NotEnded(Status),
    /// Its inputs, so many of them, were kept for as long as was promised.
    #[error("the inputs of the video were removed when their time was over")]
    InputsExpired { inputs: usize },
    #[error("an input of the video cannot be read any more")]
    Input(#[source] filmgate_assets::read::ReadError),
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// The job a client's call names. From then on that client is known to have its id.
    pub async fn find(&self, workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError> {
        self.0.store.acknowledge_job(workspace, id).await
    }

    pub async fn list(&self, query: ListJobs) -> Result<Page<Job>, StoreError> {
        self.0.store.list_jobs(query).await
    }

    /// The job once it is as waited for, or as it is after `patience`. Waiting names nothing: a create waits too.
    pub async fn wait(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
        until: Until,
        patience: Duration,
    ) -> Result<Found, StoreError> {
        let mut watcher = self.0.watch.subscribe(id);
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            let found = self.0.store.find_job(workspace, id).await?;
            let over = match (&found, until) {
                (Found::Job(job), Until::Terminal) => job.life.status().is_terminal(),
                (Found::Job(job), Until::ChangedFrom(version)) => job.version != version,
                (Found::Deleted | Found::Absent, _) => true,
            };
            if over {
                return Ok(found);
            }
            if let Found::Job(job) = &found {
                watcher.saw(job.version);
            }
            tokio::select! {
                () = watcher.moved() => {}
                // A signal may have been lost: the last look tells, not the signal.
                () = &mut deadline => return self.0.store.find_job(workspace, id).await,
                // A server that shuts down does not keep its clients waiting.
                () = self.0.stop.cancelled() => return self.0.store.find_job(workspace, id).await,
            }
        }
    }

    /// Ends the job at once; what it costs may follow. A job that is cancelled already is answered as it is.
    pub async fn cancel(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
        by: KeyId,
    ) -> Result<Job, CancelError> {
        let job = match self.find(workspace, id).await? {
            Found::Job(job) => *job,
            Found::Deleted => return Err(CancelError::Deleted),
            Found::Absent => return Err(CancelError::NotFound),
        };
        match self.0.change(job, Event::Cancel { by }).await? {
            Ok(job) => Ok(job),
            Err((job, _)) if job.life.status() == Status::Cancelled => Ok(job),
            Err((job, _)) => Err(CancelError::Terminal(job.life.status())),
        }
    }

    /// Removes what the job made and what it was made from. The row goes first: a crash in between leaves
    /// objects no row names, which the sweep removes, and never a row without its objects.
    pub async fn delete(&self, workspace: WorkspaceId, id: VideoId) -> Result<(), DeleteError> {
        loop {
            let job = match self.find(workspace, id).await? {
                Found::Job(job) => *job,
                Found::Deleted => return Err(DeleteError::Deleted),
                Found::Absent => return Err(DeleteError::NotFound),
            };
            if !job.life.status().is_terminal() {
                return Err(DeleteError::NotTerminal(job.life.status()));
            }
            if self.0.store.delete_job(id, job.version, self.now()).await? {
                break;
            }
        }
        self.0.watch.gone(id);
        if let Err(error) = self.0.assets.delete_video(workspace, id).await {
            tracing::warn!(video.id = %id, %error, "the bytes of a deleted video stay until the next sweep");
        }
        Ok(())
    }

    /// A new job of the same request.
    pub async fn retry(
        &self,
        caller: Caller,
        id: VideoId,
        from: Provenance,
    ) -> Result<Admitted, RetryError> {
        let job = self.find_to_retry(caller.workspace, id).await?;
        let inputs = match self.input_bytes(&job).await {
            Ok(inputs) => inputs,
            Err(error) => {
                // Bytes go after their row does: what went a moment ago is told as that.
                self.find_to_retry(caller.workspace, id).await?;
                return Err(error);
            }
        };
        let ask = Ask {
            request: job.admission.request.as_ref().clone(),
            inputs,
            retried_from: Some(id),
        };
        Ok(self.create(caller, ask, from).await?)
    }

    /// A job that can be made again from what is stored.
    async fn find_to_retry(&self, workspace: WorkspaceId, id: VideoId) -> Result<Job, RetryError> {
        let job = match self.find(workspace, id).await? {
            Found::Job(job) => *job,
            Found::Deleted => return Err(RetryError::Deleted),
            Found::Absent => return Err(RetryError::NotFound),
        };
        let status = job.life.status();
        if !matches!(status, Status::Failed | Status::Expired | Status::Cancelled) {
            return Err(RetryError::NotEnded(status));
        }
        let inputs = job.admission.request.inputs.len();
        if inputs > 0 && job.life.bytes_removed_at.is_some() {
            return Err(RetryError::InputsExpired { inputs });
        }
        Ok(job)
    }

    async fn input_bytes(&self, job: &Job) -> Result<Vec<Given>, RetryError> {
        let mut inputs = Vec::new();
        for input in &job.admission.request.inputs {
            let key = input.key.parse().map_err(|_| {
                StoreError::Corrupt(format!("an input is kept under {:?}", input.key))
            })?;
            let bytes = self
                .0
                .assets
                .read_all(&key, upstream::MOST_INPUT_BYTES)
                .await;
            inputs.push(Given::Bytes(bytes.map_err(RetryError::Input)?));
        }
        Ok(inputs)
    }
}
