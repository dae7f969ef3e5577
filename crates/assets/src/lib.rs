//! Bytes: receiving outputs, measuring them, keeping them, serving them.
//!
//! An output goes one way: [`spool`] (to local disk, hashed, bounded) → [`probe`] (is it a video that plays?) →
//! [`thumbnail`] → [`put`] (durable under its [`key`]). [`ingest`] walks that way whole. [`read`] and [`range`] serve what
//! is kept, [`signed_link`] lets it be fetched without a key, [`sweep`] removes it.
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

pub mod range;
pub mod read;
pub mod signed_link;
pub mod sweep;

pub mod sniff;

#[cfg(test)]
mod test_media;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::sync::Semaphore;

pub use config::Config;
pub use key::ObjectKey;

use spool::Spool;

/// The asset store: a place for objects and a spool on local disk before it. Cheap to clone.
#[derive(Clone)]
pub struct Assets {
    /// Listing, looking up and deleting.
    objects: Arc<dyn ObjectStore>,
    /// The directory behind `objects`. Bytes are put and read here directly: a rename publishes a spooled file without
    /// copying it, and a read costs one hop to the blocking pool for each chunk.
    root: Arc<PathBuf>,
    spool: Arc<Spool>,
    /// Outputs probed at once.
    measuring: Arc<Semaphore>,
}

/// Why the asset store cannot be used. Said once, at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the asset store {url:?} is not supported: write file: and a directory, such as file:filmgate-data/assets"
    )]
    UnsupportedUrl { url: String },
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
}

impl Assets {
    /// Makes the directories where they are missing and removes what a dead process left in the spool.
    ///
    /// Blocks for as long as that takes: meant for start-up.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let directory = config.directory()?;
        let unusable = |source| OpenError::Directory {
            directory: directory.clone(),
            source,
        };
        std::fs::create_dir_all(&directory).map_err(unusable)?;
        let root = std::fs::canonicalize(&directory).map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| OpenError::Objects { directory, source })?
            // Each job has directories of its own; without this its deletion would leave them for ever.
            .with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(objects),
            root: Arc::new(root),
            spool: Arc::new(Spool::open(&config)?),
            measuring: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
        })
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

    #[test]
    fn a_store_that_cannot_be_used_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let config = |url: &str| Config {
            url: url.into(),
            spool_dir: directory.path().join("spool"),
            ..Config::default()
        };
        for url in [
            "s3://bucket/prefix",
            "filmgate-data/assets",
            "file:",
            "file://host/assets",
        ] {
            let refusal = Assets::open(config(url)).err().expect(url);
            assert!(
                matches!(refusal, OpenError::UnsupportedUrl { .. }),
                "{url}: {refusal}"
            );
        }
        let small = Config {
            spool_bytes: 10,
            max_output_bytes: 6,
            ..config(&format!("file:{}", directory.path().join("a").display()))
        };
        assert!(matches!(
            Assets::open(small),
            Err(OpenError::SpoolTooSmall { .. })
        ));
    }
}
