//! Following a video: one client is told of each version it does not have yet.
//!
//! Both ways to be told live, server-sent events (`events`) and the WebSocket (`websocket`), stand on this. Signals only
//! say when to look: what is told is read from the store, written out once for all who follow, and the latest version
//! is enough.

use std::time::Duration;

use filmgate_core::id::{KeyId, VideoId, WorkspaceId};
use filmgate_core::key::Key;
use filmgate_engine::Watcher;
use filmgate_store::StoreError;

use super::delete::DeletedVideo;
use super::status;
use crate::Shared;
use crate::connection::{Carried, Live};
use crate::error::ApiError;
use crate::limits::Place;
use crate::status_cache::Written;

/// When a key with too many watchers may try again: one of them may have left by then.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One client that follows one video.
pub(crate) struct Follower {
    api: Shared,
    key: KeyId,
    workspace: WorkspaceId,
    id: VideoId,
    watcher: Watcher,
    /// The version the client has.
    has: Option<u64>,
    _place: Place,
    _carried: Carried,
}

/// What the client does not know yet.
pub(crate) enum News {
    Video(Shown),
    Deleted(DeletedVideo),
}

/// The video at one version, as `GET /v1/videos/{video_id}` answers it.
pub(crate) struct Shown {
    pub(crate) version: u64,
    written: Written,
}

/// Why nothing more is told.
#[derive(Debug)]
pub(crate) enum Parting {
    /// The server stops.
    Stopping,
    /// The key opens nothing any more.
    KeyOutOfForce,
    /// The store failed; the cause is logged.
    Failed(ApiError),
}

impl Follower {
    /// Follows a video of the key's workspace from now on, where the key may follow one more.
    pub(crate) fn start(
        api: &Shared,
        key: &Key,
        id: VideoId,
        live: Live,
    ) -> Result<Self, ApiError> {
        let place = api.limits.watchers.take(key.id).ok_or_else(|| {
            ApiError::rate_limited(
                "this key follows as many videos at once as it may; leave one, or ask again later",
                TRY_AGAIN_AFTER,
            )
            .reason("too_many_watchers")
        })?;
        Ok(Self {
            api: api.clone(),
            key: key.id,
            workspace: key.workspace,
            id,
            watcher: api.engine.watch(id),
            has: None,
            _place: place,
            _carried: live.carry(),
        })
    }

    /// What the client does not have, if there is any.
    pub(crate) async fn look(&mut self) -> Result<Option<News>, Parting> {
        let store = self.api.engine.store();
        // A key that was revoked is told nothing more, however long ago it came in.
        let key = store.load_key(self.key).await?;
        let now = self.api.engine.now();
        if key.is_none_or(|key| key.in_force(now).is_err()) {
            return Err(Parting::KeyOutOfForce);
        }
        let Some(version) = store.version_of(self.workspace, self.id).await? else {
            return Ok(Some(News::Deleted(DeletedVideo::of(self.id))));
        };
        if self.has == Some(version) {
            return Ok(None);
        }
        let current = status::current(&self.api, self.workspace, self.id, version).await?;
        let Some((version, written)) = current else {
            return Ok(Some(News::Deleted(DeletedVideo::of(self.id))));
        };
        self.watcher.saw(version);
        self.has = Some(version);
        Ok(Some(News::Video(Shown { version, written })))
    }

    /// Waits for something the client does not have.
    pub(crate) async fn next(&mut self) -> Result<News, Parting> {
        loop {
            self.signal().await?;
            if let Some(news) = self.look().await? {
                return Ok(news);
            }
        }
    }

    /// Waits until there may be something to look for. May be dropped half-way: nothing is lost.
    pub(crate) async fn signal(&mut self) -> Result<(), Parting> {
        tokio::select! {
            () = self.watcher.moved() => Ok(()),
            () = self.api.stop.cancelled() => Err(Parting::Stopping),
        }
    }

    /// The client wants to be told what it has once more.
    pub(crate) fn forget(&mut self) {
        self.has = None;
    }
}

impl Shown {
    /// One line of JSON.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.written.body).expect("JSON is UTF-8")
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.written.is_terminal()
    }
}

impl From<StoreError> for Parting {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Parting> for ApiError {
    fn from(parting: Parting) -> Self {
        match parting {
            Parting::Stopping => StoreError::Closed.into(),
            Parting::KeyOutOfForce => Self::unauthorised("this key is no longer in force"),
            Parting::Failed(error) => error,
        }
    }
}
