//! Objects as files below one directory.
//!
//! A file is written and synced in the spool, then renamed to its place and the directories on the way are synced, so an
//! object is never seen in part and one that was reported as put survives a power cut. A range of up to a megabyte is
//! read in one hop to the blocking pool, opening the file included; a longer one in a hop for each half megabyte, read
//! while the one before is being sent.
//!
//! Not here: listing, looking up and deleting, for which `object_store` is as good ([`crate::sweep`], [`crate::read`]).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{FutureExt, Stream};
use object_store::local::LocalFileSystem;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use crate::fault::Fault;
use crate::key::UNFINISHED;
use crate::put::Stored;
use crate::read::{ReadError, Reading};
use crate::spool::{Spool, Spooled};
use crate::{ObjectKey, OpenError, blocking};

/// A range up to this long is read at once.
const ONE_HOP_BYTES: u64 = 1 << 20;
/// Larger chunks were no faster for one reader, smaller ones slower for several.
const CHUNK_BYTES: u64 = 512 << 10;

/// The directory and everything below it.
#[derive(Clone)]
pub(crate) struct Directory {
    root: Arc<PathBuf>,
}

impl Directory {
    /// Makes the directory where it is missing. The second half is for listing, looking up and deleting.
    pub(crate) fn open(directory: &Path) -> Result<(Self, LocalFileSystem), OpenError> {
        let unusable = |source| OpenError::Directory {
            directory: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(unusable)?;
        let root = std::fs::canonicalize(directory).map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| OpenError::Objects {
                directory: directory.to_owned(),
                source,
            })?
            // Each job has directories of its own; without this its deletion would leave them for ever.
            .with_automatic_cleanup(true);
        let root = Arc::new(root);
        Ok((Self { root }, objects))
    }

    pub(crate) async fn put_spooled(&self, spooled: Spooled, key: &ObjectKey) -> Result<(), Fault> {
        let (root, place) = (Arc::clone(&self.root), key.clone());
        // The file goes with the room it takes in the spool, which is free again once it has left.
        blocking(move || spooled.leave(|file| install(file, &root, &place)))
            .await
            .map_err(Fault::Disk)
    }

    pub(crate) async fn put_bytes(
        &self,
        bytes: Bytes,
        key: &ObjectKey,
        spool: &Arc<Spool>,
    ) -> Result<Stored, Fault> {
        let (root, place, spool) = (Arc::clone(&self.root), key.clone(), Arc::clone(spool));
        blocking(move || {
            let mut file = NamedTempFile::new_in(spool.scratch())?;
            file.write_all(&bytes)?;
            install(file, &root, &place)?;
            Ok(Stored::of(&bytes))
        })
        .await
        .map_err(Fault::Disk)
    }

    pub(crate) async fn read_range(
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
            Ok(Ok(Reading::from_file(
                length,
                Chunks::after(file, first, length),
            )))
        });
        opened
            .await
            .map_err(|error| missing_or_failed(key, error))?
    }

    pub(crate) async fn read_all(&self, key: &ObjectKey, limit: u64) -> Result<Bytes, ReadError> {
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
        read.await.map_err(|error| missing_or_failed(key, error))?
    }

    /// Whether the directory is there and can be read.
    pub(crate) async fn ping(&self) -> Result<(), Fault> {
        let root = Arc::clone(&self.root);
        blocking(move || std::fs::read_dir(&*root).map(drop))
            .await
            .map_err(Fault::Disk)
    }
}

/// The bytes of a range, in order. One chunk is read ahead of what is taken.
#[derive(Debug)]
pub(crate) struct Chunks {
    first: Option<Bytes>,
    ahead: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// Of the range, after `first` and `ahead`.
    left: u64,
}

impl Chunks {
    fn after(file: File, first: Bytes, length: u64) -> Self {
        let mut chunks = Self {
            left: length - first.len() as u64,
            first: Some(first).filter(|first| !first.is_empty()),
            ahead: None,
        };
        chunks.read_ahead(file);
        chunks
    }

    fn read_ahead(&mut self, file: File) {
        let next = self.left.min(CHUNK_BYTES);
        if next > 0 {
            self.left -= next;
            self.ahead = Some(tokio::task::spawn_blocking(move || read_chunk(file, next)));
        }
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Fault>;

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
            Ok(Err(error)) => Err(Fault::Disk(error)),
            Err(failed) => Err(Fault::Disk(io::Error::other(failed))),
        };
        Poll::Ready(Some(chunk))
    }
}

/// The next `wanted` bytes of a file.
pub(crate) fn read_chunk(file: File, wanted: u64) -> io::Result<(File, Bytes)> {
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

fn install(mut file: NamedTempFile, root: &Path, key: &ObjectKey) -> io::Result<()> {
    /// A deletion removes directories it leaves empty, maybe the one just made here; it does not do so often.
    const TRIES: u32 = 5;
    file.as_file().sync_all()?;
    let target = key.file(root);
    let parent = target.parent().unwrap_or(root);
    for left in (0..TRIES).rev() {
        std::fs::create_dir_all(parent)?;
        file = match file.persist(&target) {
            Ok(_) => return sync_directories(parent, root),
            Err(refused) if refused.error.kind() == io::ErrorKind::CrossesDevices => {
                copied(refused.file, root)?
            }
            Err(refused) if refused.error.kind() == io::ErrorKind::NotFound && left > 0 => {
                refused.file
            }
            Err(refused) => return Err(refused.error),
        };
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The same bytes on the store's own file system, where a rename can publish them. What a crash leaves of it is swept
/// like any object that no row names.
fn copied(spooled: NamedTempFile, root: &Path) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(root)?;
    io::copy(&mut spooled.reopen()?, &mut file)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// From the object's directory up to the root: any of them may be new.
fn sync_directories(from: &Path, root: &Path) -> io::Result<()> {
    for directory in from.ancestors() {
        File::open(directory)?.sync_all()?;
        if directory == root {
            break;
        }
    }
    Ok(())
}

fn missing_or_failed(key: &ObjectKey, error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotFound(key.clone()),
        _ => ReadError::Fault(Fault::Disk(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another file system asks for, on one: a rename cannot be made to fail so everywhere.
    #[test]
    fn a_file_from_elsewhere_is_copied_whole_before_it_is_published() {
        let (spool, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut file = NamedTempFile::new_in(spool.path()).unwrap();
        file.write_all(b"a video").unwrap();
        let copy = copied(file, root.path()).unwrap();
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
        let (workspace, video) = crate::test_media::owner();
        let key = ObjectKey::output(workspace, video, 1, 0);
        install(copy, root.path(), &key).unwrap();
        assert_eq!(std::fs::read(key.file(root.path())).unwrap(), b"a video");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
