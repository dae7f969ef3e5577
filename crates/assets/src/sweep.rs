//! Removing objects: one, all of a job, or those that no row names.
//!
//! A crash between putting an object and committing its row leaves an object nobody knows. The engine lists what is
//! older than any job can be under way, asks the store which of it is known, and deletes the rest.

use std::time::Duration;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::time::UnixTime;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, path::Path};

use crate::{Assets, ObjectKey};

/// An object younger than this may belong to a job that is just being stored.
pub const SWEEP_AFTER: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, thiserror::Error)]
#[error("the asset store failed")]
pub struct SweepError(#[source] pub object_store::Error);

impl Assets {
    /// Removes an object; one that is not there is removed already.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), SweepError> {
        self.remove(&key.object()).await
    }

    /// Removes everything of a job: outputs of every attempt, thumbnails, inputs.
    pub async fn delete_video(
        &self,
        workspace: WorkspaceId,
        video: VideoId,
    ) -> Result<(), SweepError> {
        let everything = Path::from(format!("{workspace}/{video}"));
        let mut objects = self.objects.list(Some(&everything));
        while let Some(object) = objects.try_next().await.map_err(SweepError)? {
            self.remove(&object.location).await?;
        }
        Ok(())
    }

    /// The keys of objects last written before `cutoff`, in no order. Files that are not ours are left out.
    pub fn list_older_than(
        &self,
        cutoff: UnixTime,
    ) -> impl Stream<Item = Result<ObjectKey, SweepError>> + Send + 'static {
        self.objects.list(None).filter_map(move |object| {
            let key = match object {
                Ok(object) if object.last_modified.timestamp_millis() < cutoff.millis() => {
                    object.location.as_ref().parse().ok().map(Ok)
                }
                Ok(_) => None,
                Err(error) => Some(Err(SweepError(error))),
            };
            std::future::ready(key)
        })
    }

    async fn remove(&self, location: &Path) -> Result<(), SweepError> {
        match self.objects.delete(location).await {
            // Which of the two a store says about a missing key differs from store to store.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(SweepError(error)),
        }
    }
}
