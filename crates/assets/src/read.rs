//! Reading objects: ranges of them as streams, small ones whole.
//!
//! Not here: how that is done where they are kept (`directory`, `bucket`).

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use filmgate_core::time::UnixTime;
use futures::Stream;
use object_store::ObjectStoreExt;

use crate::bucket::Arriving;
use crate::directory::Chunks;
use crate::fault::{Fault, is_no_object};
use crate::{Assets, ObjectKey, Place};

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub bytes: u64,
    pub last_modified: UnixTime,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no object {0}")]
    NotFound(ObjectKey),
    #[error("{key} has {bytes} bytes; {}..{} is not in it", .wanted.start, .wanted.end)]
    OutOfRange {
        key: ObjectKey,
        bytes: u64,
        wanted: Range<u64>,
    },
    #[error("{key} has {bytes} bytes, more than the {limit} that are read at once")]
    TooLarge {
        key: ObjectKey,
        bytes: u64,
        limit: u64,
    },
    #[error("the asset store cannot be read")]
    Fault(#[source] Fault),
}

impl ReadError {
    /// Whether trying again may help although nobody has done anything about it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.may_pass())
    }
}

impl Assets {
    /// The bytes `wanted` of an object, none of them missing unless the stream ends in an error.
    pub async fn read_range(
        &self,
        key: &ObjectKey,
        wanted: Range<u64>,
    ) -> Result<Reading, ReadError> {
        match &self.place {
            Place::Directory(directory) => directory.read_range(key, wanted).await,
            Place::Bucket(bucket) => bucket.read_range(key, wanted).await,
        }
    }

    /// A whole object in memory, if it has at most `limit` bytes.
    pub async fn read_all(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, ReadError> {
        match &self.place {
            Place::Directory(directory) => directory.read_all(key, limit).await,
            Place::Bucket(bucket) => bucket.read_all(key, limit).await,
        }
    }

    pub async fn head(&self, key: &ObjectKey) -> Result<Head, ReadError> {
        let object = self.objects.head(&key.object()).await;
        let object = object.map_err(|error| missing_or_failed(key, error))?;
        Ok(Head {
            bytes: object.size,
            last_modified: UnixTime::from_millis(object.last_modified.timestamp_millis()),
        })
    }
}

pub(crate) fn missing_or_failed(key: &ObjectKey, error: object_store::Error) -> ReadError {
    if is_no_object(&error) {
        ReadError::NotFound(key.clone())
    } else {
        ReadError::Fault(error.into())
    }
}

/// The bytes of a range, in order. No more of it is in memory than a chunk or two.
#[derive(Debug)]
pub struct Reading {
    length: u64,
    from: Origin,
}

#[derive(Debug)]
enum Origin {
    File(Chunks),
    Bucket(Arriving),
}

impl Reading {
    /// How many bytes the stream yields in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn from_file(length: u64, chunks: Chunks) -> Self {
        Self {
            length,
            from: Origin::File(chunks),
        }
    }

    pub(crate) fn from_bucket(length: u64, arriving: Arriving) -> Self {
        Self {
            length,
            from: Origin::Bucket(arriving),
        }
    }
}

impl Stream for Reading {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.from {
            Origin::File(chunks) => Pin::new(chunks).poll_next(context),
            Origin::Bucket(arriving) => Pin::new(arriving).poll_next(context),
        }
    }
}
