//! Reading objects: ranges of them as streams, small ones whole.
//!
//! A range of up to a megabyte costs one hop to the blocking pool, opening the file included; a longer one a hop for each
//! half megabyte, read while the one before is being sent.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use filmgate_core::time::UnixTime;
use futures::{FutureExt, Stream};
use object_store::ObjectStoreExt;
use tokio::task::JoinHandle;

use crate::{Assets, ObjectKey, blocking};

/// A range up to this long is read at once.
const ONE_HOP_BYTES: u64 = 1 << 20;
/// Larger chunks were no faster for one reader, smaller ones slower for several.
const CHUNK_BYTES: u64 = 512 << 10;

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
    Io(#[source] io::Error),
    #[error("the asset store failed")]
    Objects(#[source] object_store::Error),
}

impl Assets {
    /// The bytes `wanted` of an object, none of them missing unless the stream ends in an error.
    pub async fn read_range(
        &self,
        key: &ObjectKey,
        wanted: Range<u64>,
    ) -> Result<Reading, ReadError> {
        let (root, object) = (Arc::clone(&self.root), key.clone());
        let opened = blocking(move || {
            let mut file = File::open(object.file(&root))?;
            let bytes = file.metadata()?.len();
            if wanted.start > wanted.end || wanted.end > bytes {
                return Ok(Err(ReadError::OutOfRange {
                    key: object,
                    bytes,
                    wanted,
                }));
            }
            let length = wanted.end - wanted.start;
            if wanted.start > 0 {
                file.seek(SeekFrom::Start(wanted.start))?;
            }
            let at_once = if length <= ONE_HOP_BYTES {
                length
            } else {
                CHUNK_BYTES
            };
            let (file, first) = read_chunk(file, at_once)?;
            Ok(Ok(Reading::after(file, first, length)))
        });
        opened.await.map_err(|error| missing_or_io(key, error))?
    }

    /// A whole object in memory, if it has at most `limit` bytes.
    pub async fn read_all(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, ReadError> {
        let (root, object) = (Arc::clone(&self.root), key.clone());
        let read = blocking(move || {
            let mut file = File::open(object.file(&root))?;
            let bytes = file.metadata()?.len();
            if bytes > limit {
                return Ok(Err(ReadError::TooLarge {
                    key: object,
                    bytes,
                    limit,
                }));
            }
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
            file.read_to_end(&mut content)?;
            Ok(Ok(Bytes::from(content)))
        });
        read.await.map_err(|error| missing_or_io(key, error))?
    }

    pub async fn head(&self, key: &ObjectKey) -> Result<Head, ReadError> {
        match self.objects.head(&key.object()).await {
            Ok(object) => Ok(Head {
                bytes: object.size,
                last_modified: UnixTime::from_millis(object.last_modified.timestamp_millis()),
            }),
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::NotFound(key.clone())),
            Err(error) => Err(ReadError::Objects(error)),
        }
    }
}

/// The bytes of a range, in order. One chunk is read ahead of what is taken.
#[derive(Debug)]
pub struct Reading {
    length: u64,
    first: Option<Bytes>,
    ahead: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// Of the range, after `first` and `ahead`.
    left: u64,
}

impl Reading {
    /// How many bytes the stream yields in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn after(file: File, first: Bytes, length: u64) -> Self {
        let mut reading = Self {
            length,
            left: length - first.len() as u64,
            first: Some(first).filter(|first| !first.is_empty()),
            ahead: None,
        };
        reading.read_ahead(file);
        reading
    }

    fn read_ahead(&mut self, file: File) {
        let next = self.left.min(CHUNK_BYTES);
        if next > 0 {
            self.left -= next;
            self.ahead = Some(tokio::task::spawn_blocking(move || read_chunk(file, next)));
        }
    }
}

impl Stream for Reading {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(ahead) = self.ahead.as_mut() else {
            return Poll::Ready(None);
        };
        let read = ready!(ahead.poll_unpin(context));
        self.ahead = None;
        let chunk = match read {
            Ok(Ok((file, chunk))) => {
                self.read_ahead(file);
                Ok(chunk)
            }
            Ok(Err(error)) => Err(error),
            Err(failed) => Err(io::Error::other(failed)),
        };
        Poll::Ready(Some(chunk))
    }
}

/// The next `wanted` bytes of a file.
fn read_chunk(file: File, wanted: u64) -> io::Result<(File, Bytes)> {
    // Read to the end of a limited file, the buffer need not be zeroed first.
    let mut chunk = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
    let mut limited = file.take(wanted);
    limited.read_to_end(&mut chunk)?;
    if chunk.len() as u64 == wanted {
        Ok((limited.into_inner(), Bytes::from(chunk)))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn missing_or_io(key: &ObjectKey, error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotFound(key.clone()),
        _ => ReadError::Io(error),
    }
}
