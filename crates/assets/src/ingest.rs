//! The whole road of one output: from the spool, measured, with its thumbnail, to its place.

use std::io;

use filmgate_core::asset::{Asset, Thumbnail};
use filmgate_core::id::{AssetId, VideoId, WorkspaceId};

use crate::probe::{NotPlayable, Probe, ProbeError, probe};
use crate::put::PutError;
use crate::spool::Spooled;
use crate::thumbnail::{self, thumbnail};
use crate::{Assets, ObjectKey, blocking};

/// Which output of which attempt at which job, and the id it will be known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputOf {
    pub asset: AssetId,
    pub workspace: WorkspaceId,
    pub video: VideoId,
    pub attempt: u32,
    pub index: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The provider's fault: asking it again for the same bytes will not help.
    #[error(transparent)]
    NotPlayable(NotPlayable),
    /// Ours.
    #[error("the spool cannot be read")]
    Spool(#[source] io::Error),
    #[error("the output cannot be kept")]
    Put(#[source] PutError),
}

impl IngestError {
    /// Whether trying again may help although nobody has done anything about it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotPlayable(_) => false,
            Self::Spool(_) => true,
            Self::Put(error) => error.source.may_pass(),
        }
    }
}

impl Assets {
    /// Measures a spooled output and puts it with its thumbnail; both are durable when this returns.
    ///
    /// Doing it again for the same output replaces what the first time left.
    #[tracing::instrument(name = "assets.ingest", skip_all, fields(video.id = %output.video, output.index = output.index))]
    pub async fn ingest(&self, spooled: Spooled, output: OutputOf) -> Result<Asset, IngestError> {
        let OutputOf {
            asset,
            workspace,
            video,
            attempt,
            index,
        } = output;
        // Measuring computes; more of it at once than there are cores would only take more memory.
        let measuring = self.measuring.acquire().await;
        let (spooled, probed, jpeg) = blocking(move || {
            let mut probed = probe(spooled.path());
            // The decoded picture is large; it is let go before the output waits for the disk.
            let frame = probed
                .as_mut()
                .ok()
                .and_then(|probe| probe.first_frame.take());
            Ok((spooled, probed, frame.as_ref().and_then(thumbnail)))
        })
        .await
        .map_err(IngestError::Spool)?;
        drop(measuring);
        let Probe {
            mime_type,
            size,
            duration_ms,
            audio,
            ..
        } = probed.map_err(|error| match error {
            ProbeError::NotPlayable(why) => IngestError::NotPlayable(why),
            ProbeError::Io(source) => IngestError::Spool(source),
        })?;
        let thumbnail = match jpeg {
            Some(jpeg) => {
                let key = ObjectKey::thumbnail(workspace, video, attempt, index);
                let stored = self.put_bytes(&key, jpeg).await.map_err(IngestError::Put)?;
                Some(Thumbnail {
                    key: key.to_string(),
                    mime_type: thumbnail::MIME_TYPE.into(),
                    bytes: stored.bytes,
                    sha256: stored.sha256,
                })
            }
            None => None,
        };
        let key = ObjectKey::output(workspace, video, attempt, index);
        let stored = self
            .put_output(spooled, &key)
            .await
            .map_err(IngestError::Put)?;
        Ok(Asset {
            id: asset,
            index,
            key: key.to_string(),
            mime_type: mime_type.into(),
            bytes: stored.bytes,
            sha256: stored.sha256,
            size,
            duration_ms,
            audio,
            thumbnail,
        })
    }
}
