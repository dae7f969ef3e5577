//! Removing objects: one, all of a job, or those that no row names.
//!
//! A crash between putting an object and committing its row leaves an object nobody knows. The sweep lists what is older
//! than any job can be under way, asks which of it is known, and deletes the rest. Of a listing, however long, no more
//! is in memory than what is asked about at once. Files that do not look like ours are never touched; everything that
//! does is taken for this gateway's, so a directory or a bucket's prefix belongs to one.
//!
//! Not here: parts of uploads that were never completed. No listing of objects shows them; a lifecycle rule of the bucket
//! removes them (`bucket`).

use std::collections::HashSet;
use std::time::Duration;

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::time::UnixTime;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, path::Path};

use crate::fault::{Fault, is_no_object};
use crate::{Assets, ObjectKey};

/// An object younger than this may belong to a job that is just being stored.
pub const SWEEP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Keys that are asked about at once.
const ASKED_AT_ONCE: usize = 1000;
const DELETED_AT_ONCE: usize = 8;

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Objects that were old enough to be asked about.
    pub asked: u64,
    /// Those of them that nobody knew.
    pub removed: u64,
}

/// Why a sweep ended early. What it removed until then stays removed, and the next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum SweepError<E> {
    #[error("the asset store cannot be swept")]
    Fault(#[source] Fault),
    #[error("it cannot be told which objects are known")]
    Unknown(#[source] E),
}

impl Assets {
    /// Removes an object; one that is not there is removed already.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.remove(&key.object()).await
    }

    /// Removes everything of a job: outputs of every attempt, thumbnails, inputs.
    pub async fn delete_video(&self, workspace: WorkspaceId, video: VideoId) -> Result<(), Fault> {
        let everything = Path::from(format!("{workspace}/{video}"));
        let mut objects = self.objects.list(Some(&everything));
        while let Some(object) = objects.try_next().await? {
            self.remove(&object.location).await?;
        }
        Ok(())
    }

    /// Removes the objects that, at `now`, are older than [`SWEEP_AFTER`] by the store's own clock and are not among those
    /// that `known` gives back of the keys it is asked about.
    pub async fn sweep<E, Answer>(
        &self,
        now: UnixTime,
        known: impl Fn(Vec<ObjectKey>) -> Answer,
    ) -> Result<Swept, SweepError<E>>
    where
        Answer: Future<Output = Result<HashSet<ObjectKey>, E>>,
    {
        let mut swept = Swept::default();
        let old = self.list_older_than(now.minus(SWEEP_AFTER));
        let mut chunks = std::pin::pin!(old.try_chunks(ASKED_AT_ONCE));
        while let Some(keys) = chunks.next().await {
            let keys = keys.map_err(|error| SweepError::Fault(error.1))?;
            let known = known(keys.clone()).await.map_err(SweepError::Unknown)?;
            swept.asked += keys.len() as u64;
            let mut removals = stream::iter(keys)
                .filter(|key| std::future::ready(!known.contains(key)))
                .map(async |key| self.delete(&key).await.map(|()| key))
                .buffer_unordered(DELETED_AT_ONCE);
            while let Some(removed) = removals.next().await {
                let key = removed.map_err(SweepError::Fault)?;
                tracing::info!(%key, "removed an object that nobody knows");
                swept.removed += 1;
            }
        }
        Ok(swept)
    }

    /// The keys of our objects last written before `cutoff`, in no order.
    fn list_older_than(
        &self,
        cutoff: UnixTime,
    ) -> impl Stream<Item = Result<ObjectKey, Fault>> + Send + 'static {
        self.objects.list(None).filter_map(move |object| {
            let key = match object {
                Ok(object) if object.last_modified.timestamp_millis() < cutoff.millis() => {
                    let key: Option<ObjectKey> = object.location.as_ref().parse().ok();
                    key.filter(ObjectKey::is_ours).map(Ok)
                }
                Ok(_) => None,
                Err(error) => Some(Err(error.into())),
            };
            std::future::ready(key)
        })
    }

    async fn remove(&self, location: &Path) -> Result<(), Fault> {
        match self.objects.delete(location).await {
            // Which of the two a store says about a missing key differs from store to store.
            Ok(()) => Ok(()),
            Err(error) if is_no_object(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
