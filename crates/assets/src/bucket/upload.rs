//! Putting into a bucket: a small object in one request, a large one in parts.
//!
//! The bucket shows an object whole or not at all, and checks each request's bytes against the digest in its signature.
//! Afterwards it is asked how much it has.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tempfile::NamedTempFile;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};

use super::Bucket;
use crate::directory::read_chunk;
use crate::fault::{Fault, is_no_object};
use crate::put::Stored;
use crate::spool::Spooled;
use crate::{ObjectKey, blocking};

/// All parts of an object have this size, but the last.
pub(crate) const PART_BYTES: u64 = 8 << 20;
/// S3 takes no more of them for one object.
const MOST_PARTS: u64 = 10_000;
/// The largest object that can be put.
pub(crate) const MOST_BYTES: u64 = MOST_PARTS * PART_BYTES;
/// Parts of one upload that are under way at once.
const PARTS_AT_ONCE: usize = 3;
/// Parts of all uploads that are read from the disk and not yet sent.
pub(super) const PARTS_IN_MEMORY: usize = 12;

impl Bucket {
    pub(crate) async fn put_spooled(&self, spooled: Spooled, key: &ObjectKey) -> Result<(), Fault> {
        let bytes = spooled.bytes();
        let (spooled, file) = blocking(move || {
            let file = File::open(spooled.path())?;
            Ok((spooled, file))
        })
        .await
        .map_err(Fault::Disk)?;
        self.put(Content::File(file), bytes, &key.object()).await?;
        // The file goes, and with it the room it takes in the spool.
        blocking(move || spooled.leave(NamedTempFile::close))
            .await
            .map_err(Fault::Disk)
    }

    pub(crate) async fn put_bytes(&self, bytes: Bytes, key: &ObjectKey) -> Result<Stored, Fault> {
        let hashed = bytes.clone();
        let stored = blocking(move || Ok(Stored::of(&hashed))).await;
        let stored = stored.map_err(Fault::Disk)?;
        self.put(Content::Memory(bytes), stored.bytes, &key.object())
            .await?;
        Ok(stored)
    }

    async fn put(&self, content: Content, bytes: u64, place: &Path) -> Result<(), Fault> {
        if bytes <= PART_BYTES {
            let _room = self.room_for(&content).await;
            let (_, whole) = content.next(bytes).await.map_err(Fault::Disk)?;
            self.objects.put(place, PutPayload::from(whole)).await?;
        } else {
            self.put_in_parts(content, bytes, place).await?;
        }
        let kept = self.objects.head(place).await?.size;
        if kept == bytes {
            Ok(())
        } else {
            Err(Fault::NotWhole { put: bytes, kept })
        }
    }

    async fn put_in_parts(&self, content: Content, bytes: u64, place: &Path) -> Result<(), Fault> {
        let mut upload = self.objects.put_multipart(place).await?;
        let completed = match self.send_parts(upload.as_mut(), content, bytes).await {
            Ok(()) => upload.complete().await.map(drop).map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        if completed.is_err() {
            match upload.abort().await {
                Ok(()) => {}
                // It was completed after all, and only the answer was lost.
                Err(error) if is_no_object(&error) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the parts of an upload that failed stay until the bucket's lifecycle rule removes them"
                ),
            }
        }
        completed
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        mut content: Content,
        bytes: u64,
    ) -> Result<(), Fault> {
        let mut under_way = JoinSet::new();
        let mut sent = Ok(());
        let mut left = bytes;
        while left > 0 && sent.is_ok() {
            if under_way.len() == PARTS_AT_ONCE {
                sent = under_way.join_next().await.map_or(Ok(()), landed);
                continue;
            }
            let room = self.room_for(&content).await;
            match content.next(left.min(PART_BYTES)).await {
                Ok((rest, part)) => {
                    content = rest;
                    left -= part.len() as u64;
                    let sending = upload.put_part(PutPayload::from(part));
                    under_way.spawn(async move {
                        let _room = room;
                        sending.await
                    });
                }
                Err(error) => {
                    sent = Err(Fault::Disk(error));
                    break;
                }
            }
        }
        // After a failure too: a part that arrives once its upload is aborted would stay in the bucket.
        while let Some(part) = under_way.join_next().await {
            sent = sent.and(landed(part));
        }
        sent
    }

    /// Waits until a part may be read into memory. What is there already needs no room.
    async fn room_for(&self, content: &Content) -> Option<OwnedSemaphorePermit> {
        match content {
            Content::Memory(_) => None,
            Content::File(_) => {
                let room = Arc::clone(&self.parts).acquire_owned().await;
                Some(room.expect("the room for parts is never closed"))
            }
        }
    }
}

fn landed(part: Result<object_store::Result<()>, JoinError>) -> Result<(), Fault> {
    match part {
        Ok(sent) => sent.map_err(Fault::from),
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(Fault::Disk(io::Error::other(cancelled))),
    }
}

/// What is to be put, from where it has not been read yet.
enum Content {
    File(File),
    Memory(Bytes),
}

impl Content {
    /// The next `bytes` bytes, of which there are so many.
    async fn next(self, bytes: u64) -> io::Result<(Self, Bytes)> {
        match self {
            Self::File(file) => {
                let (file, part) = blocking(move || read_chunk(file, bytes)).await?;
                Ok((Self::File(file), part))
            }
            Self::Memory(mut whole) => {
                let part = whole.split_to(usize::try_from(bytes).unwrap_or(whole.len()));
                Ok((Self::Memory(whole), part))
            }
        }
    }
}
