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
    /// Ours: trying again may help.
    #[error("the spool cannot be read")]
    Spool(#[source] io::Error),
    #[error("the output cannot be kept")]
    Put(#[source] PutError),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::read::ReadError;
    use crate::sweep::SWEEP_AFTER;
    use crate::test_media::{clip, encoded, owner};
    use bytes::Bytes;
    use filmgate_core::frame_size::FrameSize;
    use filmgate_core::time::UnixTime;
    use futures::{TryStreamExt, stream};
    use tempfile::TempDir;
    use uuid::Uuid;

    struct Store {
        assets: Assets,
        directory: TempDir,
    }

    impl Store {
        fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let config = Config {
                url: format!("file:{}", directory.path().join("assets").display()),
                spool_dir: directory.path().join("spool"),
                ..Config::default()
            };
            let assets = Assets::open(config).unwrap();
            Self { assets, directory }
        }

        async fn ingest(&self, bytes: Vec<u8>, index: u32) -> Result<Asset, IngestError> {
            let length = bytes.len() as u64;
            let incoming = stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
            let spool = self.assets.spool();
            let spooled = spool.receive(incoming, Some(length)).await.unwrap();
            self.assets.ingest(spooled, output(index)).await
        }

        /// Files in the store and in this process's part of the spool, without its lock.
        fn files(&self) -> usize {
            fn below(path: &std::path::Path) -> usize {
                let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
                entries
                    .map(|entry| match entry.file_type().unwrap().is_dir() {
                        true => below(&entry.path()),
                        false => 1,
                    })
                    .sum()
            }
            below(self.directory.path()) - 2
        }

        async fn older_than(&self, cutoff: UnixTime) -> Vec<ObjectKey> {
            let mut keys: Vec<_> = self
                .assets
                .list_older_than(cutoff)
                .try_collect()
                .await
                .unwrap();
            keys.sort();
            keys
        }
    }

    fn output(index: u32) -> OutputOf {
        let (workspace, video) = owner();
        OutputOf {
            asset: AssetId::from_uuid(Uuid::from_u128(3)),
            workspace,
            video,
            attempt: 1,
            index,
        }
    }

    async fn read(assets: &Assets, key: &str, range: std::ops::Range<u64>) -> Vec<u8> {
        let reading = assets
            .read_range(&key.parse().unwrap(), range.clone())
            .await;
        let reading = reading.unwrap();
        assert_eq!(reading.length(), range.end - range.start);
        let chunks: Vec<_> = reading.try_collect().await.unwrap();
        chunks.concat()
    }

    #[tokio::test]
    async fn an_output_is_measured_and_kept_with_its_thumbnail() {
        let store = Store::open();
        let video = encoded(1280, 720, 3);
        let asset = store.ingest(video.clone(), 1).await.unwrap();
        let (workspace, job) = owner();
        assert_eq!(asset.key, format!("{workspace}/{job}/1/1"));
        assert_eq!(asset.bytes, video.len() as u64);
        assert_eq!(asset.size, FrameSize::new(1280, 720));
        assert_eq!(asset.duration_ms, 300);
        assert_eq!(read(&store.assets, &asset.key, 0..asset.bytes).await, video);

        let thumbnail = asset.thumbnail.unwrap();
        let jpeg = store
            .assets
            .read_all(&thumbnail.key.parse().unwrap(), 1 << 20)
            .await
            .unwrap();
        assert_eq!(jpeg.len() as u64, thumbnail.bytes);
        assert_eq!(image::load_from_memory(&jpeg).unwrap().width(), 640);
        assert_eq!(store.files(), 2, "nothing stays in the spool");
    }

    #[tokio::test]
    async fn an_output_that_cannot_be_decoded_here_has_no_thumbnail() {
        let store = Store::open();
        let asset = store.ingest(clip("hevc.mp4"), 0).await.unwrap();
        assert_eq!(asset.thumbnail, None);
        assert_eq!(store.files(), 1);
    }

    #[tokio::test]
    async fn what_does_not_play_is_not_kept() {
        let store = Store::open();
        let refused = store.ingest(b"<html>sorry</html>".to_vec(), 0).await;
        assert!(matches!(refused, Err(IngestError::NotPlayable(_))));
        assert_eq!(store.files(), 0);
    }

    #[tokio::test]
    async fn an_output_ingested_again_replaces_itself() {
        let store = Store::open();
        store.ingest(encoded(64, 48, 2), 0).await.unwrap();
        let again = store.ingest(encoded(64, 48, 3), 0).await.unwrap();
        assert_eq!(again.duration_ms, 300);
        let head = store
            .assets
            .head(&again.key.parse().unwrap())
            .await
            .unwrap();
        assert_eq!(head.bytes, again.bytes);
        assert_eq!(store.files(), 2);
    }

    #[tokio::test]
    async fn any_range_of_an_object_can_be_read() {
        let store = Store::open();
        let (workspace, video) = owner();
        let key = ObjectKey::input(workspace, video, 0);
        let content: Vec<u8> = (0..3_500_000u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let bytes = Bytes::from(content.clone());
        store.assets.put_bytes(&key, bytes).await.unwrap();
        let end = content.len();
        for range in [
            0..end,
            0..0,
            5..6,
            1_048_575..1_048_577,
            17..2_097_169,
            end - 1..end,
        ] {
            let wanted = range.start as u64..range.end as u64;
            assert_eq!(
                read(&store.assets, key.as_str(), wanted).await,
                content[range]
            );
        }
        let beyond = store.assets.read_range(&key, 0..end as u64 + 1).await;
        assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })));
        let limited = store.assets.read_all(&key, 1000).await;
        assert!(matches!(limited, Err(ReadError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_missing_object_is_not_found_and_deleted_without_complaint() {
        let store = Store::open();
        let (workspace, video) = owner();
        let key = ObjectKey::output(workspace, video, 1, 0);
        let read = store.assets.read_range(&key, 0..1).await;
        assert!(matches!(read, Err(ReadError::NotFound(_))));
        assert!(matches!(
            store.assets.read_all(&key, 1).await,
            Err(ReadError::NotFound(_))
        ));
        assert!(matches!(
            store.assets.head(&key).await,
            Err(ReadError::NotFound(_))
        ));
        store.assets.delete(&key).await.unwrap();
        store.assets.delete_video(workspace, video).await.unwrap();
    }

    #[tokio::test]
    async fn deleting_a_video_leaves_nothing_of_it() {
        let store = Store::open();
        let asset = store.ingest(encoded(64, 48, 2), 0).await.unwrap();
        let (workspace, video) = owner();
        let input = ObjectKey::input(workspace, video, 0);
        store
            .assets
            .put_bytes(&input, Bytes::from_static(b"x"))
            .await
            .unwrap();
        let other = VideoId::from_uuid(Uuid::from_u128(9));
        let kept = ObjectKey::input(workspace, other, 0);
        store
            .assets
            .put_bytes(&kept, Bytes::from_static(b"y"))
            .await
            .unwrap();

        store.assets.delete_video(workspace, video).await.unwrap();
        assert_eq!(store.files(), 1);
        let directory = store.directory.path().join("assets");
        assert!(!directory.join(asset.key).parent().unwrap().exists());
        assert!(store.assets.head(&kept).await.is_ok());
    }

    #[tokio::test]
    async fn only_objects_old_enough_are_listed_for_the_sweep() {
        let store = Store::open();
        let asset = store.ingest(encoded(64, 48, 2), 0).await.unwrap();
        let key: ObjectKey = asset.key.parse().unwrap();
        let put = store.assets.head(&key).await.unwrap().last_modified;
        assert_eq!(store.older_than(put.minus(SWEEP_AFTER)).await, []);
        let thumbnail = asset.thumbnail.unwrap().key.parse().unwrap();
        let tomorrow = put.plus(SWEEP_AFTER);
        assert_eq!(store.older_than(tomorrow).await, [key, thumbnail]);
    }
}
