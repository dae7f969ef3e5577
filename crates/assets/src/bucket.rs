//! Objects in a bucket, through `object_store`: S3 and what speaks as it does; Google's and Azure's where they are built in.
//!
//! What is asked of a bucket is tried again quickly a few times where that is safe, and given up when nothing moves for
//! long ([`patience`]); whether to come back later is for the caller to say. Memory is bounded: an object goes up in
//! parts ([`upload`]) and comes down as a stream ([`download`]), whatever its size.
//!
//! Everything is below one prefix, which belongs to one gateway: [`crate::sweep`] removes what its store does not know.
//! The keys need to be allowed to get, put, list and delete there, and to abort uploads.
//!
//! An upload in parts that fails is aborted. One whose process dies, or that is dropped half-way, leaves its parts in
//! the bucket, where nobody sees them and somebody pays for them: a lifecycle rule of the bucket has to remove them
//! (`AbortIncompleteMultipartUpload` after a day or so).
//!
//! Not here: which key is whose ([`crate::key`]), where the credentials in the configuration come from (the binary).

mod download;
mod patience;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, GetOptions, ObjectStore, RetryConfig};
use tokio::sync::Semaphore;

use crate::config::{Addressing, Cloud, Config};
use crate::fault::{Fault, is_no_object};
use crate::{ObjectKey, OpenError};

pub(crate) use download::Arriving;
use patience::Patience;
pub(crate) use upload::MOST_BYTES;

/// Quick tries after the first one.
const RETRIES: usize = 3;
/// The whole of an answer to whether the bucket works.
const PING_WITHIN: Duration = Duration::from_secs(5);

/// A bucket and the prefix in it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    /// None where links straight to the bucket are not wanted, or cannot be made.
    signer: Option<Arc<dyn Signer>>,
    /// Room for the parts of files that are in memory at once, of all uploads together.
    pub(crate) parts: Arc<Semaphore>,
}

impl Bucket {
    /// Asks the bucket nothing yet.
    pub(crate) fn open(
        config: &Config,
        cloud: Cloud,
        bucket: &str,
        prefix: Path,
    ) -> Result<Self, OpenError> {
        match cloud {
            Cloud::S3 => Ok(Self::of(s3(config, bucket)?, prefix, config.redirect)),
            Cloud::Gcs => gcs(config, bucket, prefix),
            Cloud::Azure => azure(config, bucket, prefix),
        }
    }

    fn of(objects: impl ObjectStore + Signer, prefix: Path, redirect: bool) -> Self {
        let below = Arc::new(PrefixStore::new(objects, prefix));
        Self {
            signer: redirect.then(|| Arc::clone(&below) as Arc<dyn Signer>),
            objects: below,
            parts: Arc::new(Semaphore::new(upload::PARTS_IN_MEMORY)),
        }
    }

    /// For listing, looking up and deleting.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    pub(crate) fn signer(&self) -> Option<&Arc<dyn Signer>> {
        self.signer.as_ref()
    }

    /// Reads an object that is not there: the answer tells a missing bucket and wrong keys apart from a missing object,
    /// which an answer to a HEAD does not.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        let nothing = Path::from(ObjectKey::NOTHING);
        let asked = self.objects.get_opts(&nothing, GetOptions::default());
        match tokio::time::timeout(PING_WITHIN, asked).await {
            Err(_) => Err(Fault::Silent(PING_WITHIN)),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_no_object(&error) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket")
            .field(&self.objects.to_string())
            .finish()
    }
}

fn s3(config: &Config, bucket: &str) -> Result<AmazonS3, OpenError> {
    let mut builder = match (&config.access_key_id, &config.secret_access_key) {
        // The environment is left out as a whole: a session token in it would belong to other keys.
        (Some(id), Some(secret)) => AmazonS3Builder::new()
            .with_access_key_id(id)
            .with_secret_access_key(secret.expose()),
        (None, None) => AmazonS3Builder::from_env(),
        _ => return Err(OpenError::HalfAKey),
    };
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    let virtual_hosted = config.addressing == Addressing::VirtualHosted;
    if let Some(endpoint) = config.endpoint()? {
        let mut address = endpoint.clone();
        if virtual_hosted {
            let host = endpoint.host_str().unwrap_or_default();
            address
                .set_host(Some(&format!("{bucket}.{host}")))
                .map_err(|_| config.bad_endpoint())?;
        }
        // What the environment says of an endpoint has no say beside ours.
        let address = address.as_str().trim_end_matches('/');
        builder = builder
            .with_config(AmazonS3ConfigKey::S3Endpoint, address)
            .with_allow_http(endpoint.scheme() == "http");
    }
    builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(virtual_hosted)
        // Not every server that speaks S3 knows how to delete many objects at once.
        .with_disable_bulk_delete(true)
        .with_retry(retries(config.stall()))
        .with_http_connector(Patience::new(config.stall()))
        .build()
        .map_err(|source| config.cannot_be_used(source))
}

#[cfg(feature = "gcs")]
fn gcs(config: &Config, bucket: &str, prefix: Path) -> Result<Bucket, OpenError> {
    let objects = object_store::gcp::GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retries(config.stall()))
        .with_http_connector(Patience::new(config.stall()))
        .build()
        .map_err(|source| config.cannot_be_used(source))?;
    Ok(Bucket::of(objects, prefix, config.redirect))
}

#[cfg(not(feature = "gcs"))]
fn gcs(config: &Config, _bucket: &str, _prefix: Path) -> Result<Bucket, OpenError> {
    Err(config.needs_feature("gcs"))
}

#[cfg(feature = "azure")]
fn azure(config: &Config, container: &str, prefix: Path) -> Result<Bucket, OpenError> {
    let objects = object_store::azure::MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_retry(retries(config.stall()))
        .with_http_connector(Patience::new(config.stall()))
        .build()
        .map_err(|source| config.cannot_be_used(source))?;
    // Its links cannot say how the object is to be described.
    Ok(Bucket::of(objects, prefix, false))
}

#[cfg(not(feature = "azure"))]
fn azure(config: &Config, _container: &str, _prefix: Path) -> Result<Bucket, OpenError> {
    Err(config.needs_feature("azure"))
}

/// Quick tries only: one that has stalled is not made again.
fn retries(stall: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: stall,
    }
}
