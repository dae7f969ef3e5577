//! Bytes: receiving outputs, measuring them, keeping them, serving them.
//!
//! An output goes one way: [`spool`] (to local disk, hashed, bounded) → [`probe`] (is it a video that plays?) →
//! [`thumbnail`] → [`put`] (durable under its [`key`]). [`ingest`] walks that way whole. [`read`] and [`range`] serve what
//! is kept, [`signed_link`] lets it be fetched without a key, [`bucket_link`] past us, [`sweep`] removes it.
//!
//! Objects are kept in a `directory` or in a `bucket`.
//!
//! Not here: which job an output belongs to and what it costs (`engine`), rows (`store`), HTTP (`api`), clocks (`now` is
//! passed in).

pub mod config;
pub mod key;

pub mod ingest;
pub mod probe;
pub mod put;
pub mod spool;
pub mod thumbnail;

pub mod bucket_link;
pub mod range;
pub mod read;
pub mod signed_link;
pub mod sweep;

pub mod length;
pub mod sniff;

mod bucket;
mod directory;
pub mod fault;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod test_media;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use tokio::sync::Semaphore;

pub use config::Config;
pub use fault::Fault;
pub use key::ObjectKey;

use bucket::Bucket;
use config::Location;
use directory::Directory;
use spool::Spool;

/// The asset store: a place for objects and a spool on local disk before it. Cheap to clone.
#[derive(Clone)]
pub struct Assets {
    /// Listing, looking up and deleting.
    objects: Arc<dyn ObjectStore>,
    /// Putting and reading.
    place: Place,
    spool: Arc<Spool>,
    /// Outputs probed at once.
    measuring: Arc<Semaphore>,
}

/// Where objects are kept. Bytes get into a directory and out of it in ways of their own, because a rename publishes a
/// spooled file without copying it, and a read costs one hop to the blocking pool for each chunk.
#[derive(Clone)]
enum Place {
    Directory(Directory),
    Bucket(Bucket),
}

/// Why the asset store cannot be used. Said once, at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the asset store {url:?} is not supported: write file: and a directory, such as file:filmgate-data/assets, or s3:// with a bucket and perhaps a prefix, such as s3://my-bucket/filmgate"
    )]
    UnsupportedUrl { url: String },
    #[error(
        "the asset store {url:?} needs a build with the feature {feature}, which this one lacks"
    )]
    MissingFeature { url: String, feature: &'static str },
    #[error("access_key_id and secret_access_key go together, and one of them is missing")]
    HalfAKey,
    #[error(
        "the endpoint is {endpoint:?}, and https:// or http:// and a host are allowed, such as https://s3.example.com"
    )]
    BadEndpoint { endpoint: String },
    #[error("max_output_bytes is {max_output_bytes}, and a bucket takes no more than {most}")]
    OutputTooLarge { max_output_bytes: u64, most: u64 },
    #[error(
        "spool_bytes is {spool_bytes}, but must be at least twice max_output_bytes ({max_output_bytes}), so that one output of unknown length always has room"
    )]
    SpoolTooSmall {
        spool_bytes: u64,
        max_output_bytes: u64,
    },
    #[error("the directory {} cannot be used", .directory.display())]
    Directory {
        directory: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the asset store in {} cannot be opened", .directory.display())]
    Objects {
        directory: PathBuf,
        #[source]
        source: object_store::Error,
    },
    #[error("the asset store {url:?} cannot be opened")]
    Bucket {
        url: String,
        #[source]
        source: object_store::Error,
    },
}

impl Assets {
    /// Makes the directories where they are missing and removes what a dead process left in the spool. A bucket is not
    /// asked anything yet: [`Assets::ping`] tells whether it is there.
    ///
    /// Blocks for as long as that takes: meant for start-up.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let (place, objects): (_, Arc<dyn ObjectStore>) = match config.location()? {
            Location::Directory(directory) => {
                let (directory, objects) = Directory::open(&directory)?;
                (Place::Directory(directory), Arc::new(objects))
            }
            Location::Bucket {
                cloud,
                bucket,
                prefix,
            } => {
                let bucket = Bucket::open(&config, cloud, &bucket, prefix)?;
                let objects = bucket.objects();
                (Place::Bucket(bucket), objects)
            }
        };
        Ok(Self {
            objects,
            place,
            spool: Arc::new(Spool::open(&config)?),
            measuring: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
        })
    }

    /// Whether the store can be used just now: says so, or what is wrong, within seconds.
    pub async fn ping(&self) -> Result<(), Fault> {
        match &self.place {
            Place::Directory(directory) => directory.ping().await,
            Place::Bucket(bucket) => bucket.ping().await,
        }
    }

    /// Where incoming bytes wait until they are put.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}

/// Runs `work`, which waits for the disk or computes for long, off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(std::io::Error::other(cancelled)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_core::provider::Secret;

    fn refusal(config: Config) -> OpenError {
        let directory = tempfile::tempdir().unwrap();
        let spool_dir = directory.path().join("spool");
        let opened = Assets::open(Config {
            spool_dir,
            ..config
        });
        opened.err().unwrap()
    }

    #[test]
    fn a_store_that_cannot_be_used_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let small = Config {
            url: format!("file:{}", directory.path().join("a").display()),
            spool_bytes: 10,
            max_output_bytes: 6,
            ..Config::default()
        };
        assert!(matches!(refusal(small), OpenError::SpoolTooSmall { .. }));

        let s3 = || Config {
            url: "s3://bucket".into(),
            ..Config::default()
        };
        let half = Config {
            secret_access_key: Some(Secret::new("hush")),
            ..s3()
        };
        assert!(matches!(refusal(half), OpenError::HalfAKey));
        let nowhere = Config {
            endpoint: Some("s3.example.com".into()),
            ..s3()
        };
        assert!(matches!(refusal(nowhere), OpenError::BadEndpoint { .. }));
        let huge = Config {
            max_output_bytes: 1 << 40,
            spool_bytes: 1 << 41,
            ..s3()
        };
        assert!(matches!(refusal(huge), OpenError::OutputTooLarge { .. }));
    }

    #[cfg(not(any(feature = "gcs", feature = "azure")))]
    #[test]
    fn a_cloud_that_is_not_built_in_names_the_feature_it_needs() {
        for (url, feature) in [("gs://bucket/prefix", "gcs"), ("az://container", "azure")] {
            let refusal = refusal(Config {
                url: url.into(),
                ..Config::default()
            });
            let expected = format!(
                "the asset store {url:?} needs a build with the feature {feature}, which this one lacks"
            );
            assert_eq!(refusal.to_string(), expected);
        }
    }
}
