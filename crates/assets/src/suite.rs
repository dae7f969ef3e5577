//! What every store has to do alike: each sentence is tested on a directory and on a bucket.
//!
//! Not here: what only a bucket can do, or do wrong ([`bucket`]).

mod bucket;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use filmgate_core::asset::Asset;
use filmgate_core::frame_size::FrameSize;
use filmgate_core::id::{AssetId, VideoId};
use filmgate_core::provider::Secret;
use filmgate_testbed::S3Server;
use futures::{TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use crate::bucket_link::Described;
use crate::ingest::{IngestError, OutputOf};
use crate::read::{ReadError, Reading};
use crate::spool::Spooled;
use crate::sweep::{SWEEP_AFTER, Swept};
use crate::test_media::{clip, encoded, owner};
use crate::{Assets, Config, ObjectKey};

/// A store of one test's own.
struct House {
    assets: Assets,
    directory: TempDir,
    server: Option<S3Server>,
}

impl House {
    fn on_a_directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let assets = Assets::open(Config {
            url: format!("file:{}", directory.path().join("assets").display()),
            spool_dir: directory.path().join("spool"),
            ..Config::default()
        });
        Self {
            assets: assets.unwrap(),
            directory,
            server: None,
        }
    }

    fn on_a_bucket() -> Self {
        Self::on_a_bucket_with(|_| {})
    }

    fn on_a_bucket_with(change: impl FnOnce(&mut Config)) -> Self {
        let server = S3Server::start();
        let directory = tempfile::tempdir().unwrap();
        let mut config = in_a_bucket(&server);
        config.spool_dir = directory.path().join("spool");
        change(&mut config);
        Self {
            assets: Assets::open(config).unwrap(),
            directory,
            server: Some(server),
        }
    }

    fn server(&self) -> &S3Server {
        self.server.as_ref().unwrap()
    }

    async fn spool(&self, bytes: impl Into<Bytes>) -> Spooled {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        let incoming = stream::iter([Ok::<_, io::Error>(bytes)]);
        let spool = self.assets.spool();
        spool.receive(incoming, Some(length)).await.unwrap()
    }

    async fn ingest(&self, bytes: Vec<u8>, index: u32) -> Result<Asset, IngestError> {
        let spooled = self.spool(bytes).await;
        self.assets.ingest(spooled, output(index)).await
    }

    async fn put(&self, key: &ObjectKey, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        self.assets.put_bytes(key, bytes).await.unwrap();
    }

    async fn read(&self, key: &ObjectKey, range: std::ops::Range<u64>) -> Vec<u8> {
        let reading = self.assets.read_range(key, range.clone()).await.unwrap();
        assert_eq!(reading.length(), range.end - range.start);
        whole(reading).await
    }

    /// Puts a file there that the store has not put itself.
    fn plant(&self, key: &str) {
        if let Some(server) = &self.server {
            return server.plant(&format!("videos/eu/{key}"), b"x");
        }
        let file = self.directory.path().join("assets").join(key);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
    }

    /// The keys of everything in the store, in order.
    fn objects(&self) -> Vec<String> {
        if let Some(server) = &self.server {
            let inside = server.objects().into_iter();
            return inside
                .map(|key| key.strip_prefix("videos/eu/").unwrap().to_owned())
                .collect();
        }
        let root = self.directory.path().join("assets");
        let mut keys: Vec<_> = files(&root)
            .into_iter()
            .map(|file| file.strip_prefix(&root).unwrap().display().to_string())
            .collect();
        keys.sort();
        keys
    }

    /// Whether the spool is empty, but for its locks.
    fn has_spooled_nothing(&self) -> bool {
        let spooled = files(&self.directory.path().join("spool"));
        spooled.iter().all(|file| file.ends_with("lock"))
    }
}

/// The bucket of `server`, below a prefix.
fn in_a_bucket(server: &S3Server) -> Config {
    // Some other test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Config {
        url: format!("s3://{}/videos/eu", S3Server::BUCKET),
        endpoint: Some(server.endpoint()),
        region: Some(S3Server::REGION.into()),
        access_key_id: Some(S3Server::ACCESS_KEY_ID.into()),
        secret_access_key: Some(Secret::new(S3Server::SECRET_ACCESS_KEY)),
        ..Config::default()
    }
}

fn files(below: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
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

fn input(number: u32) -> ObjectKey {
    let (workspace, video) = owner();
    ObjectKey::input(workspace, video, number)
}

/// Bytes that differ wherever two of them could be mistaken for each other.
fn noise(bytes: usize) -> Bytes {
    (0..bytes as u64)
        .map(|place| (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

async fn whole(reading: Reading) -> Vec<u8> {
    let chunks: Vec<_> = reading.try_collect().await.unwrap();
    chunks.concat()
}

/// Makes a test of each named sentence for each kind of store.
macro_rules! on_every_store {
    ($($sentence:ident),+ $(,)?) => {
        mod on_a_directory {$(
            #[tokio::test]
            async fn $sentence() {
                super::$sentence(super::House::on_a_directory()).await;
            }
        )+}
        mod on_a_bucket {$(
            #[tokio::test]
            async fn $sentence() {
                super::$sentence(super::House::on_a_bucket()).await;
            }
        )+}
    };
}

on_every_store![
    an_output_is_measured_and_kept_with_its_thumbnail,
    an_output_that_cannot_be_decoded_here_has_no_thumbnail,
    what_does_not_play_is_not_kept,
    an_output_ingested_again_replaces_itself,
    a_large_output_is_kept_whole,
    any_range_of_an_object_can_be_read,
    an_empty_object_is_an_object,
    a_missing_object_is_not_found_and_deleted_without_complaint,
    deleting_a_video_leaves_nothing_of_it,
    the_sweep_removes_what_is_old_and_unknown_and_nothing_else,
    the_sweep_asks_about_many_objects_in_turns,
    a_store_that_works_answers_a_ping,
    nobody_is_sent_elsewhere_unless_that_was_asked_for,
];

async fn an_output_is_measured_and_kept_with_its_thumbnail(house: House) {
    let video = encoded(1280, 720, 3);
    let asset = house.ingest(video.clone(), 1).await.unwrap();
    let (workspace, job) = owner();
    assert_eq!(asset.key, format!("{workspace}/{job}/1/1"));
    assert_eq!(asset.bytes, video.len() as u64);
    assert_eq!(asset.sha256, hex::encode(Sha256::digest(&video)));
    assert_eq!(asset.size, FrameSize::new(1280, 720));
    assert_eq!(asset.duration_ms, 300);
    let key = asset.key.parse().unwrap();
    assert_eq!(house.read(&key, 0..asset.bytes).await, video);

    let thumbnail = asset.thumbnail.unwrap();
    let key = thumbnail.key.parse().unwrap();
    let jpeg = house.assets.read_all(&key, 1 << 20).await.unwrap();
    assert_eq!(jpeg.len() as u64, thumbnail.bytes);
    assert_eq!(image::load_from_memory(&jpeg).unwrap().width(), 640);
    assert_eq!(house.objects(), [asset.key, thumbnail.key]);
    assert!(house.has_spooled_nothing());
}

async fn an_output_that_cannot_be_decoded_here_has_no_thumbnail(house: House) {
    let asset = house.ingest(clip("hevc.mp4"), 0).await.unwrap();
    assert_eq!(asset.thumbnail, None);
    assert_eq!(house.objects(), [asset.key]);
}

async fn what_does_not_play_is_not_kept(house: House) {
    let refused = house.ingest(b"<html>sorry</html>".to_vec(), 0).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, IngestError::NotPlayable(_)));
    assert!(!refused.may_pass());
    assert!(house.objects().is_empty());
    assert!(house.has_spooled_nothing());
}

async fn an_output_ingested_again_replaces_itself(house: House) {
    house.ingest(encoded(64, 48, 2), 0).await.unwrap();
    let again = house.ingest(encoded(64, 48, 3), 0).await.unwrap();
    assert_eq!(again.duration_ms, 300);
    let head = house.assets.head(&again.key.parse().unwrap()).await;
    assert_eq!(head.unwrap().bytes, again.bytes);
    assert_eq!(house.objects().len(), 2);
}

async fn a_large_output_is_kept_whole(house: House) {
    let content = noise((20 << 20) + 1);
    let (workspace, video) = owner();
    let key = ObjectKey::output(workspace, video, 1, 0);
    let spooled = house.spool(content.clone()).await;
    let stored = house.assets.put_output(spooled, &key).await.unwrap();
    assert_eq!(stored.bytes, content.len() as u64);
    assert!(house.has_spooled_nothing());
    assert!(house.read(&key, 0..stored.bytes).await == content);
    // Across the border of two parts.
    let border = 8 << 20;
    let across = house.read(&key, border - 3..border + 3).await;
    let border = border as usize;
    assert_eq!(across, content[border - 3..border + 3]);
}

async fn any_range_of_an_object_can_be_read(house: House) {
    let key = input(0);
    let content = noise(3_500_000);
    let stored = house.assets.put_bytes(&key, content.clone()).await;
    assert_eq!(
        stored.unwrap().sha256,
        hex::encode(Sha256::digest(&content))
    );
    let end = content.len();
    for range in [
        0..end,
        0..0,
        end..end,
        5..6,
        1_048_575..1_048_577,
        17..2_097_169,
        end - 1..end,
    ] {
        let wanted = range.start as u64..range.end as u64;
        assert!(
            house.read(&key, wanted).await == content[range.clone()],
            "{range:?}"
        );
    }
    let end = end as u64;
    #[expect(clippy::reversed_empty_ranges, reason = "it has to be refused")]
    for beyond in [
        0..end + 1,
        end..end + 1,
        end + 5..end + 9,
        end + 1..end + 1,
        7..3,
    ] {
        match house.assets.read_range(&key, beyond.clone()).await {
            Err(ReadError::OutOfRange { bytes, wanted, .. }) => {
                assert_eq!((bytes, wanted), (end, beyond));
            }
            other => panic!("{beyond:?}: {other:?}"),
        }
    }
    let limited = house.assets.read_all(&key, 1000).await;
    assert!(matches!(limited, Err(ReadError::TooLarge { .. })));
}

async fn an_empty_object_is_an_object(house: House) {
    let key = input(0);
    house.put(&key, b"").await;
    assert_eq!(house.assets.head(&key).await.unwrap().bytes, 0);
    assert_eq!(house.read(&key, 0..0).await, b"");
    assert_eq!(house.assets.read_all(&key, 0).await.unwrap(), "");
}

async fn a_missing_object_is_not_found_and_deleted_without_complaint(house: House) {
    let (workspace, video) = owner();
    let key = ObjectKey::output(workspace, video, 1, 0);
    for range in [0..1, 0..0] {
        let read = house.assets.read_range(&key, range).await;
        assert!(matches!(read, Err(ReadError::NotFound(_))));
    }
    let read = house.assets.read_all(&key, 1).await;
    assert!(matches!(read, Err(ReadError::NotFound(_))));
    let head = house.assets.head(&key).await;
    assert!(matches!(head, Err(ReadError::NotFound(_))));
    house.assets.delete(&key).await.unwrap();
    house.assets.delete_video(workspace, video).await.unwrap();
}

async fn deleting_a_video_leaves_nothing_of_it(house: House) {
    house.ingest(encoded(64, 48, 2), 0).await.unwrap();
    house.put(&input(0), b"x").await;
    let (workspace, video) = owner();
    let other = VideoId::from_uuid(Uuid::from_u128(9));
    let kept = ObjectKey::input(workspace, other, 0);
    house.put(&kept, b"y").await;

    house.assets.delete_video(workspace, video).await.unwrap();
    assert_eq!(house.objects(), [kept.to_string()]);
    let local = house.directory.path().join("assets");
    assert!(!local.join(format!("{workspace}/{video}")).exists());

    house.assets.delete(&kept).await.unwrap();
    assert!(house.objects().is_empty());
}

async fn the_sweep_removes_what_is_old_and_unknown_and_nothing_else(house: House) {
    let known = house.ingest(encoded(64, 48, 2), 0).await.unwrap();
    let thumbnail = known.thumbnail.unwrap().key;
    for number in 0..3 {
        house.put(&input(number), b"x").await;
    }
    // Somebody else's.
    house.plant("holiday.mp4");
    house.plant("photos/2026/beach.jpg");
    let keys: HashSet<ObjectKey> = [&known.key, &thumbnail]
        .map(|key| key.parse().unwrap())
        .into();
    let answer = async |asked: Vec<ObjectKey>| {
        let known = asked.into_iter().filter(|key| keys.contains(key));
        Ok::<_, Infallible>(known.collect())
    };
    let before = house.objects();
    let put = house.assets.head(&input(0)).await.unwrap().last_modified;

    let too_early = house.assets.sweep(put, &answer).await.unwrap();
    assert_eq!(too_early, Swept::default());
    assert_eq!(house.objects(), before);

    // A bucket tells the time in whole seconds.
    let tomorrow = put.plus(SWEEP_AFTER).plus(Duration::from_secs(60));
    let swept = house.assets.sweep(tomorrow, &answer).await.unwrap();
    assert_eq!((swept.asked, swept.removed), (5, 3));
    let mut kept = vec![known.key.as_str(), "holiday.mp4", "photos/2026/beach.jpg"];
    kept.push(&thumbnail);
    kept.sort_unstable();
    assert_eq!(house.objects(), kept);
}

async fn the_sweep_asks_about_many_objects_in_turns(house: House) {
    let (workspace, video) = owner();
    for number in 0..1200 {
        house.plant(&format!("{workspace}/{video}/input/{number}"));
    }
    let put = house.assets.head(&input(0)).await.unwrap().last_modified;
    let tomorrow = put.plus(SWEEP_AFTER).plus(Duration::from_secs(60));
    let asked = Mutex::new(Vec::new());
    let all_known = async |keys: Vec<ObjectKey>| {
        asked.lock().unwrap().push(keys.len());
        Ok::<_, Infallible>(keys.into_iter().collect())
    };
    // A driver that runs it may move it between threads.
    let sweep: futures::future::BoxFuture<'_, _> =
        Box::pin(house.assets.sweep(tomorrow, all_known));
    let swept = sweep.await.unwrap();
    assert_eq!((swept.asked, swept.removed), (1200, 0));
    assert_eq!(*asked.lock().unwrap(), [1000, 200]);
}

async fn a_store_that_works_answers_a_ping(house: House) {
    house.assets.ping().await.unwrap();
    assert!(house.objects().is_empty());
}

async fn nobody_is_sent_elsewhere_unless_that_was_asked_for(house: House) {
    house.put(&input(0), b"x").await;
    let described = Described {
        content_type: "video/mp4",
        content_disposition: "attachment",
    };
    let lasts = Duration::from_secs(60);
    let link = house.assets.signed_get(&input(0), lasts, described).await;
    assert_eq!(link, None);
}
