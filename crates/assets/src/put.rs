//! Putting objects: whole, durable and at once, or not at all.
//!
//! Not here: how that is done where they are kept (`directory`, `bucket`).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::fault::Fault;
use crate::spool::Spooled;
use crate::{Assets, ObjectKey, Place};

/// An object as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Debug, thiserror::Error)]
#[error("{key} cannot be put into the asset store")]
pub struct PutError {
    pub key: ObjectKey,
    #[source]
    pub source: Fault,
}

impl Stored {
    /// Computes for as long as hashing takes.
    pub(crate) fn of(bytes: &Bytes) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }
}

impl Assets {
    /// Moves a spooled file to its place. What was there under the same key is replaced.
    pub async fn put_output(&self, spooled: Spooled, key: &ObjectKey) -> Result<Stored, PutError> {
        let stored = Stored {
            bytes: spooled.bytes(),
            sha256: spooled.sha256().to_owned(),
        };
        let put = match &self.place {
            Place::Directory(directory) => directory.put_spooled(spooled, key).await,
            Place::Bucket(bucket) => bucket.put_spooled(spooled, key).await,
        };
        put.map(|()| stored).map_err(|source| PutError {
            key: key.clone(),
            source,
        })
    }

    /// Puts bytes that are already in memory: a client's input, a thumbnail.
    pub async fn put_bytes(&self, key: &ObjectKey, bytes: Bytes) -> Result<Stored, PutError> {
        let put = match &self.place {
            Place::Directory(directory) => directory.put_bytes(bytes, key, &self.spool).await,
            Place::Bucket(bucket) => bucket.put_bytes(bytes, key).await,
        };
        put.map_err(|source| PutError {
            key: key.clone(),
            source,
        })
    }
}
